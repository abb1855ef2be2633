//! A step with its surroundings: whose the locks were, what bounds them, who stood behind them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::blocked;
use super::holds::{self, Edges, Succession};
use super::lives::Life;
use super::owner::{Backends, Neighbours, Owner};
use super::session::Session;
use super::step::OpenStep;
use super::timeouts::TimeOuts;
use super::{Blocked, Hold, Holder, Moment, StepFacts};
use crate::bounds::Bounds;
use crate::clock::Mono;
use crate::recording::format::{Claim, LockRow, Origin, Poll};
use crate::sql::Kind;

/// How many of the statements that lengthened a hold are named. All would be a list of all statements
/// for each lock of a long transaction: gigabytes for some thousand tables.
const LENGTHENERS: usize = 10;

/// A step with its surroundings, at its end.
pub struct Scene<'a> {
    /// When the replay began.
    pub began: Mono,
    /// The step.
    pub step: &'a OpenStep,
    /// Who was on the server.
    pub backends: &'a Backends,
    /// Who else could be there.
    pub neighbours: Neighbours,
    /// How long its sessions wait for a lock before anybody sets anything.
    pub timeouts: TimeOuts,
    /// When the step ended.
    pub end: Mono,
}

/// A lock of the migration, or of who may be it, on a relation that was there before the step.
pub struct Grip<'l> {
    /// The first of its rows.
    pub life: &'l Life,
    /// What bounds it, all of its rows together.
    pub edges: Edges,
    /// Whether it may be two locks one after the other, so that its wait and its hold are not surely one stretch.
    pub perhaps_two: bool,
    /// The last poll that showed any of its rows.
    pub last: Poll,
    /// The first that no longer showed any; None: there was none.
    pub gone: Option<Poll>,
    /// The row of its wait; None: none was seen.
    pub asked: Option<&'l Life>,
    /// Whether it is surely the migration's.
    pub holder: Holder,
}

/// Waiting rows, by what they wait for.
type Asked<'l> = BTreeMap<LockRow, Vec<&'l Life>>;

/// The wait that ended in this grant; None: none was seen. A wait that was over in a poll before the lock was there
/// was in vain: a block of code may ask again in the same transaction.
fn asked_of<'l>(life: &Life, asked: &Asked<'l>) -> Option<&'l Life> {
    let waiting = LockRow {
        claim: Claim::Waiting,
        ..life.row
    };
    let waits = asked.get(&waiting)?;
    let last = waits
        .iter()
        .rfind(|wait| wait.first.sent <= life.first.sent)?;
    let goes_on = |gone: Poll| gone.sent >= life.first.sent;
    last.absent_after.is_none_or(goes_on).then_some(*last)
}

impl Scene<'_> {
    pub(super) fn owner(&self, pid: i32) -> Owner {
        let driven = |pid| self.step.sessions.contains_key(&pid);
        // A worker is its leader's. A leader has none itself: a damaged recording may have circles.
        let pid = match self.backends.leader(pid) {
            Some(leader) if !driven(pid) => leader,
            _ => pid,
        };
        if driven(pid) {
            return Owner::Migration;
        }
        match self.backends.owner(pid, self.neighbours) {
            // A stranger's application in a step of plain SQL is nobody of ours.
            Owner::Unclear if self.step.command.is_none() => Owner::Foreign,
            // It has our name but is none of our sessions: another run's, or ours behind a pooler.
            Owner::Migration
                if self.neighbours == Neighbours::Strangers
                    && self.step.command.is_none()
                    && pid != 0 =>
            {
                Owner::Unclear
            }
            owner => owner,
        }
    }

    /// The session that lockproof drives in this process, or of which it is a worker: that waits
    /// for its workers to be gone before it replies.
    pub(super) fn session(&self, pid: i32) -> Option<&Session> {
        let sessions = &self.step.sessions;
        sessions
            .get(&pid)
            .or_else(|| sessions.get(&self.backends.leader(pid)?))
    }

    pub(super) fn edges(&self, life: &Life) -> Edges {
        holds::edges(
            life,
            self.session(life.row.pid),
            (self.step.started, self.end),
        )
    }

    /// A moment of the replay.
    pub(super) fn moment(&self, earliest: Mono, latest: Option<Mono>) -> Moment {
        Moment {
            earliest: earliest.since(self.began),
            latest: latest.map(|latest| latest.since(self.began)),
        }
    }

    /// Fills in the holds: the migration's, the ignored and the others'.
    /// Those that are the migration's, or may be, are handed back.
    pub fn sort_holds<'l>(&self, lives: &[&'l Life], facts: &mut StepFacts) -> Vec<Grip<'l>> {
        let mut grips = Vec::new();
        let mut granted: Vec<&'l Life> = lives
            .iter()
            .copied()
            .filter(|life| life.row.claim == Claim::Granted && life.row.relation != 0)
            .collect();
        granted.sort_by_key(|life| (life.first.sent, life.row));
        let mut asked: Asked<'l> = BTreeMap::new();
        for life in lives.iter().filter(|l| l.row.claim == Claim::Waiting) {
            asked.entry(life.row).or_default().push(*life);
        }
        let mut taken = vec![false; granted.len()];
        for index in 0..granted.len() {
            if std::mem::replace(&mut taken[index], true) {
                continue;
            }
            let life = granted[index];
            let mut edges = self.edges(life);
            let mut tail = life;
            let (mut last, mut gone) = (life.last, life.absent_after);
            let mut perhaps_two = false;
            // The few that follow under another number; most steps have none.
            for later in index + 1..granted.len() {
                let next = granted[later];
                if holds::is_over(life, tail, next) {
                    break;
                }
                if taken[later] || next.row.relation != life.row.relation {
                    continue;
                }
                let led = self.backends.leader(next.row.pid) == Some(life.row.pid);
                let vacuums = || self.is_vacuum(tail) && self.is_vacuum(next);
                if holds::same_group(life, next, led) {
                    taken[later] = true;
                    last = last.max(next.last);
                    gone = gone.zip(next.absent_after).map(|(a, b)| a.max(b));
                    edges = edges.joined_by(self.edges(next));
                } else if let Some(succession) = holds::succession(tail, next, vacuums) {
                    taken[later] = true;
                    last = last.max(next.last);
                    gone = next.absent_after;
                    perhaps_two |= succession == Succession::CarriedOn;
                    tail = next;
                    edges = match succession {
                        Succession::HandedOver => edges.joined_by(self.edges(tail)),
                        Succession::CarriedOn => edges.perhaps_joined_by(self.edges(tail)),
                    };
                }
            }
            let owner = self.owner(life.row.pid);
            let relation = self.step.relations.get(&life.row.relation);
            match (owner, relation.map(|relation| relation.origin)) {
                (Owner::Watcher, _) => {}
                (Owner::Unclear, Some(Origin::New)) => {}
                // Made by somebody else and not committed: it has no name that others could see.
                (Owner::Foreign, Some(Origin::New)) if relation.is_some_and(|r| r.kind == '?') => {}
                (Owner::Unclear, _) if life.first.received < self.step.started => {}
                // The program's or a stranger's: the program held it so long, or not at all.
                (Owner::Unclear, _) => {
                    let mut hold = self.hold(life, &edges, &asked);
                    hold.hold = Bounds::new(Duration::ZERO, hold.hold.at_most());
                    hold.holder = Holder::Unclear;
                    grips.push(Grip {
                        life,
                        edges,
                        perhaps_two,
                        last,
                        gone,
                        asked: asked_of(life, &asked),
                        holder: Holder::Unclear,
                    });
                    facts.holds.push(hold);
                }
                (Owner::Migration, Some(Origin::New)) => facts.ignored_holds += 1,
                // It began in an earlier step, where it was judged.
                (Owner::Migration, _) if life.first.received < self.step.started => {}
                (Owner::Migration, _) => {
                    grips.push(Grip {
                        life,
                        edges,
                        perhaps_two,
                        last,
                        gone,
                        asked: asked_of(life, &asked),
                        holder: Holder::Known,
                    });
                    facts.holds.push(self.hold(life, &edges, &asked));
                }
                (Owner::Foreign, _) => facts.foreign_holds.push(self.hold(life, &edges, &asked)),
            }
        }
        let order = |hold: &Hold| {
            (
                std::cmp::Reverse(hold.mode),
                std::cmp::Reverse(hold.hold.at_least()),
                hold.relation.clone(),
                hold.granted_after,
            )
        };
        facts.holds.sort_by_key(order);
        facts.foreign_holds.sort_by_key(order);
        grips
    }

    fn hold(&self, life: &Life, edges: &Edges, asked: &Asked<'_>) -> Hold {
        let asked = asked_of(life, asked).map(|wait| self.edges(wait));
        let relation = self.step.relations.get(&life.row.relation);
        let (granted_by, lengthened_by) = match self.session(life.row.pid) {
            Some(session) => self.statements_of(session, edges),
            // While it waited, it ran what took the lock, and nothing else.
            None => {
                let from = asked.map_or(edges.granted_from, |asked| asked.granted_from);
                self.queries_of(life.row.pid, (from, edges.released_by.unwrap_or(self.end)))
            }
        };
        Hold {
            relation: relation.map_or_else(
                || format!("oid {}", life.row.relation),
                |relation| relation.name.clone(),
            ),
            parent: relation.and_then(|relation| relation.parent.clone()),
            mode: life.row.mode,
            pid: life.row.pid,
            holder: Holder::Known,
            hold: edges.hold(),
            wait: holds::wait(asked, edges),
            granted_after: edges.granted_by.since(self.step.started),
            asked: asked.map(|asked| self.moment(asked.granted_from, Some(asked.granted_by))),
            granted: self.moment(edges.granted_from, Some(edges.granted_by)),
            released: self.moment(edges.released_from, edges.released_by),
            granted_by,
            lengthened_by,
        }
    }

    /// The statements that may have taken a lock, and those that ran while it was held.
    fn statements_of(&self, session: &Session, edges: &Edges) -> (Vec<String>, Vec<String>) {
        let (takers, lengtheners) = self.indexes_of(session, edges);
        let named = |indexes: Vec<usize>| indexes.into_iter().map(|index| self.step.sql(index));
        (
            named(takers).collect(),
            named(lengtheners).take(LENGTHENERS).collect(),
        )
    }

    /// The same as places in the step.
    pub(super) fn indexes_of(&self, session: &Session, edges: &Edges) -> (Vec<usize>, Vec<usize>) {
        let mut takers = Vec::new();
        let mut lengtheners = Vec::new();
        let last = edges.granted_by.max(edges.released_from);
        for span in session.spans_from(edges.granted_from) {
            if span.sent > last {
                break;
            }
            let done = span.done.unwrap_or(self.end);
            if span.sent <= edges.granted_by && done >= edges.granted_from {
                takers.push(span.index);
            } else if span.sent >= edges.granted_by && span.sent <= edges.released_from {
                lengtheners.push((done.since(span.sent), span.index));
            }
        }
        takers.dedup();
        // BEGIN and its like lie between the same two polls, but take no lock on a relation.
        let (plain, control): (Vec<usize>, Vec<usize>) = takers.into_iter().partition(|index| {
            let text = self.step.text(*index);
            text.is_none_or(|text| text.takes_locks)
        });
        let takers = if plain.is_empty() { control } else { plain };
        lengtheners.sort_by_key(|&(elapsed, index)| (std::cmp::Reverse(elapsed), index));
        let mut named: Vec<usize> = lengtheners.into_iter().map(|(_, index)| index).collect();
        named.dedup();
        (takers, named)
    }

    /// The same from what `pg_stat_activity` showed between two moments, where another program drives
    /// the session. A query that it had been seen with before is not told again.
    fn queries_of(&self, pid: i32, (from, to): (Mono, Mono)) -> (Vec<String>, Vec<String>) {
        let mut queries: Vec<&str> = Vec::new();
        let sightings = self.backends.sightings(pid);
        let first = sightings.partition_point(|(at, _)| *at < from);
        let news = sightings.get(first).is_some_and(|(at, _)| *at <= to);
        let first = if news { first } else { first.saturating_sub(1) };
        for (at, backend) in &sightings[first..] {
            if *at > to || queries.len() > LENGTHENERS {
                break;
            }
            if !queries.contains(&backend.query.as_str()) {
                queries.push(&backend.query);
            }
        }
        let mut queries = queries.into_iter().map(str::to_owned);
        (queries.next().into_iter().collect(), queries.collect())
    }

    fn is_vacuum(&self, life: &Life) -> bool {
        let Some(session) = self.session(life.row.pid) else {
            // What it was last seen to run by the end of the hold, not what it ran ever.
            return self
                .backends
                .sightings(life.row.pid)
                .iter()
                .rev()
                .find(|(at, _)| *at <= life.absent_after.unwrap_or(life.last).received)
                .is_some_and(|(_, backend)| Kind::of(&backend.query).is_vacuum());
        };
        session
            .spans_from(life.first.sent)
            .iter()
            .take_while(|span| span.sent <= life.first.received)
            .any(|span| span.vacuum)
    }

    /// Who stood behind the migration, the longest wait first.
    pub fn blocked(&self, lives: &[&Life]) -> Vec<Blocked> {
        let is_migration = |pid| self.owner(pid) == Owner::Migration;
        let claims: Vec<&Life> = lives
            .iter()
            .copied()
            .filter(|life| is_migration(life.row.pid))
            .collect();
        let mut blocked: Vec<Blocked> = Vec::new();
        for life in lives {
            let pid = life.row.pid;
            let ours = match self.owner(pid) {
                Owner::Watcher => true,
                // A program's sessions that wait for one another are nobody's victims.
                Owner::Migration => {
                    self.step.command.is_some() || self.step.sessions.contains_key(&pid)
                }
                Owner::Unclear | Owner::Foreign => false,
            };
            if life.row.claim != Claim::Waiting || ours {
                continue;
            }
            let behind = blocked::behind(life, &self.step.waiters, &claims, &is_migration);
            let Some(&blocker) = behind.first() else {
                continue;
            };
            let edges = holds::edges(life, None, (self.step.started, self.end));
            let still = edges.released_by.unwrap_or(self.end);
            blocked.push(Blocked {
                pid,
                query: self.query_at(pid, edges.granted_from, still),
                waited: Bounds::new(
                    edges.released_from.since(edges.granted_by),
                    Some(still.since(edges.granted_from)),
                ),
                behind: self.statement_at(blocker, edges.granted_by),
            });
        }
        blocked.sort_by_key(|b| (std::cmp::Reverse(b.waited.at_least()), b.pid));
        blocked
    }

    pub(super) fn query_at(&self, pid: i32, from: Mono, to: Mono) -> String {
        let sightings = self.backends.sightings(pid);
        sightings
            .iter()
            .find(|(at, _)| *at >= from && *at <= to)
            .or_else(|| sightings.last())
            .map(|(_, backend)| backend.query.clone())
            .unwrap_or_default()
    }

    /// What a session of the migration ran, or had run last, at a moment.
    pub(super) fn statement_at(&self, pid: i32, moment: Mono) -> String {
        let Some(session) = self.session(pid) else {
            return self.query_at(pid, moment, self.end);
        };
        session
            .spans()
            .iter()
            .rev()
            .find(|span| span.sent <= moment)
            .map(|span| self.step.sql(span.index))
            .unwrap_or_default()
    }
}
