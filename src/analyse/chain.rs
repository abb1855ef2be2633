//! Who stands behind whom: those that wait for the migration, directly or behind others, and what it waits for.
//!
//! Two things tell. The rows: whoever waits for a relation in a mode that conflicts with one that the migration holds
//! cannot have it. And `pg_blocking_pids`, asked now and then: the only word on places in the queue, on rows and on
//! other things than relations. Where neither is sure, a wait is counted, and nothing is proved by it.

use std::collections::{BTreeMap, VecDeque};

use super::blocked::Sighting;
use super::holds;
use super::impact::Stander;
use super::lives::Life;
use super::owner::Owner;
use super::scene::Scene;
use super::span::Stretch;
use crate::bounds::Bounds;
use crate::clock::Mono;
use crate::pg::names::{DISTURBANCE_PREFIX, MIGRATION_PREFIX, TRAFFIC};
use crate::recording::format::{Claim, LockRow, Poll};

/// A chain is not told any further than this.
const LONGEST_CHAIN: usize = 16;

/// What the migration asked for and perhaps got, from asked to released or given up.
#[derive(Debug, Clone, Copy)]
pub struct Stake<'l> {
    /// What.
    pub row: LockRow,
    /// The row of its wait; None: none was seen.
    pub asked: Option<&'l Life>,
    /// The first row of its hold; None: none was seen.
    pub granted: Option<&'l Life>,
    /// The last poll that showed it.
    pub last: Poll,
    /// The first that no longer showed it; None: there was none.
    pub gone: Option<Poll>,
    /// Asked → released or given up.
    pub stretch: Stretch,
    /// Whether it is surely the migration's.
    pub sure: bool,
}

impl Stake<'_> {
    /// The first poll that showed it.
    fn first(&self) -> Mono {
        let lives = [self.asked, self.granted].into_iter().flatten();
        lives.map(|life| life.first.sent).min().unwrap_or_default()
    }

    /// The first poll after it that did not show it any more; None: there was none.
    fn gone(&self) -> Option<Mono> {
        self.gone.map(|poll| poll.sent)
    }
}

/// A wait behind the migration.
#[derive(Debug)]
pub struct Stand<'l> {
    /// The waiting row.
    pub life: &'l Life,
    /// The session: a worker stands for its leader.
    pub pid: i32,
    /// Directly in front of it.
    pub front: i32,
    /// Those of the migration's stakes that it waits for itself.
    pub stakes: Vec<usize>,
    /// Its whole wait, whoever was in front.
    pub wait: Stretch,
    /// The part of it that is proved to have been behind the migration.
    pub proved: (Mono, Mono),
    /// From the first poll that showed it behind the migration to the first that did not.
    pub shown: (Mono, Option<Mono>),
    /// Whether it surely stood behind the migration.
    pub sure: bool,
}

/// What `pg_blocking_pids` said, by who waited, in order of time.
pub struct Sightings<'s>(BTreeMap<i32, Vec<&'s Sighting>>);

impl<'s> Sightings<'s> {
    /// In their order.
    pub fn new(all: &'s [Sighting]) -> Self {
        let mut by_pid: BTreeMap<i32, Vec<&Sighting>> = BTreeMap::new();
        for sighting in all {
            by_pid.entry(sighting.pid).or_default().push(sighting);
        }
        for sightings in by_pid.values_mut() {
            sightings.sort_by_key(|sighting| sighting.at);
        }
        Self(by_pid)
    }

    /// Those that may be about this wait.
    fn of(&self, life: &Life) -> &[&'s Sighting] {
        let all = self.0.get(&life.row.pid).map_or(&[][..], Vec::as_slice);
        let to = life.absent_after.unwrap_or(life.last).received;
        let from = all.partition_point(|sighting| sighting.at < life.first.sent);
        let until = all.partition_point(|sighting| sighting.at <= to);
        &all[from..until.max(from)]
    }
}

/// Whether a sighting is surely about this wait: polls before its question and after its answer showed it.
fn surely_of(sighting: &Sighting, life: &Life) -> bool {
    life.first.received <= sighting.at && sighting.by.is_some_and(|by| by <= life.last.sent)
}

impl Scene<'_> {
    /// The process that a client knows: a worker's leader.
    pub(super) fn client(&self, pid: i32) -> i32 {
        self.backends.leader(pid).unwrap_or(pid)
    }

    /// Whether a wait of this process is somebody else's than the migration's.
    fn is_somebody_s(&self, pid: i32) -> bool {
        match self.owner(pid) {
            Owner::Watcher => false,
            // A program's sessions that wait for one another are nobody's victims.
            Owner::Migration => {
                self.step.command.is_none() && !self.step.sessions.contains_key(&self.client(pid))
            }
            Owner::Unclear | Owner::Foreign => true,
        }
    }

    /// Whether a process is the migration's and nobody's whom it could be in the way of.
    pub(super) fn is_ours(&self, pid: i32) -> bool {
        // Only the migration prepares transactions, which have no process.
        pid == 0 || (self.owner(pid) == Owner::Migration && !self.is_somebody_s(pid))
    }

    /// Everybody who waited behind the migration, in the order of the rows.
    pub(super) fn stands<'l>(
        &self,
        lives: &[&'l Life],
        stakes: &[Stake<'l>],
        sightings: &Sightings<'_>,
    ) -> Vec<Stand<'l>> {
        let waits: Vec<&'l Life> = lives
            .iter()
            .copied()
            .filter(|life| life.row.claim == Claim::Waiting && self.is_somebody_s(life.row.pid))
            .collect();
        let mut on: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, stake) in stakes.iter().enumerate() {
            on.entry(stake.row.relation).or_default().push(index);
        }
        let mut found: BTreeMap<usize, Stand<'l>> = BTreeMap::new();
        // Who is seen right behind whom, of those that are not known to stand behind the migration yet.
        let mut behind: BTreeMap<i32, Vec<(usize, &Sighting)>> = BTreeMap::new();
        for (index, life) in waits.iter().enumerate() {
            let here = on.get(&life.row.relation).map_or(&[][..], Vec::as_slice);
            if let Some(stand) = self.directly(life, here, stakes, sightings) {
                found.insert(index, stand);
                continue;
            }
            for sighting in sightings.of(life) {
                for pid in &sighting.behind {
                    behind.entry(*pid).or_default().push((index, sighting));
                }
            }
        }
        // Each wait is found once, so circles of a damaged recording end.
        let mut to_see: VecDeque<usize> = found.keys().copied().collect();
        while let Some(index) = to_see.pop_front() {
            let (pid, waiting) = (found[&index].pid, found[&index].life.row.pid);
            let mut after: Vec<(usize, &Sighting)> = Vec::new();
            for front in [pid, waiting] {
                after.extend(behind.get(&front).into_iter().flatten());
            }
            for (next, sighting) in after {
                if found.contains_key(&next) {
                    continue;
                }
                if let Some(stand) = self.through(waits[next], sighting, &found[&index]) {
                    found.insert(next, stand);
                    to_see.push_back(next);
                }
            }
        }
        found.into_values().collect()
    }

    /// The wait, where the migration itself is in front of it.
    fn directly<'l>(
        &self,
        life: &'l Life,
        here: &[usize],
        stakes: &[Stake<'l>],
        sightings: &Sightings<'_>,
    ) -> Option<Stand<'l>> {
        let seen = sightings.of(life);
        let gone = life.absent_after.map(|poll| poll.sent);
        let mut stand = self.stand(life);
        let says = |pid: i32, sure: bool| {
            let mut about = seen.iter().filter(|s| s.behind.contains(&pid));
            about.any(|sighting| !sure || surely_of(sighting, life))
        };
        for &index in here.iter().filter(|_| life.row.relation != 0) {
            let stake = &stakes[index];
            let apart = stake.row.pid == life.row.pid
                || !stake.row.mode.conflicts_with(life.row.mode)
                || gone.is_some_and(|gone| gone <= stake.first())
                || stake.gone().is_some_and(|gone| gone <= life.first.sent);
            if apart {
                continue;
            }
            let held = stake.granted.is_some_and(|held| {
                held.first.sent.max(life.first.sent) <= stake.last.sent.min(life.last.sent)
            });
            let client = self.client(stake.row.pid);
            let said = |sure| says(client, sure) || says(stake.row.pid, sure);
            let sure = stake.sure && (held || said(true));
            if !sure && !said(false) && stake.first() > life.first.sent {
                continue;
            }
            stand.stakes.push(index);
            stand.take(
                client,
                sure,
                (
                    stake.stretch.inner.0.max(stand.wait.inner.0),
                    stake.stretch.inner.1.min(stand.wait.inner.1),
                ),
                (
                    stake.first().max(life.first.sent),
                    earlier(stake.gone(), gone),
                ),
            );
        }
        // Rows, other things than relations, and modes that nobody samples: only the server's word.
        let others: Vec<&&Sighting> = seen
            .iter()
            .filter(|sighting| sighting.at >= self.step.started)
            .filter(|sighting| sighting.behind.iter().any(|pid| self.is_ours(*pid)))
            .collect();
        if let (true, Some(first)) = (stand.stakes.is_empty(), others.first()) {
            let front = first
                .behind
                .iter()
                .copied()
                .find(|pid| self.is_ours(*pid))?;
            let sure = surely_of(first, life);
            let by = first.by.unwrap_or(Mono(u64::MAX));
            // As long as nothing says otherwise, and not beyond the transaction that is in front.
            let otherwise = seen.iter().find(|sighting| {
                sighting.at > first.at && !sighting.behind.iter().any(|pid| self.is_ours(*pid))
            });
            let until = self.surely_open_until(front, first).max(
                others
                    .iter()
                    .rfind(|sighting| sighting.behind.contains(&front))
                    .map_or(Mono(0), |sighting| sighting.at),
            );
            let until = otherwise.map_or(until, |sighting| sighting.at.min(until));
            let inner = (by, until.min(stand.wait.inner.1));
            stand.take(front, sure, inner, (first.at.max(life.first.sent), gone));
        }
        (stand.front != life.row.pid).then_some(stand)
    }

    /// Until when the transaction of a driven session that a sighting found in the way was surely open; the start
    /// of time where nothing tells.
    fn surely_open_until(&self, pid: i32, sighting: &Sighting) -> Mono {
        let (Some(session), Some(by)) = (self.session(pid), sighting.by) else {
            return Mono(0);
        };
        let mut brackets = session.touching(sighting.at, by, self.end);
        let (Some(bracket), None) = (brackets.next(), brackets.next()) else {
            return Mono(0);
        };
        // It went on at least until the statement was sent that ended it.
        let spans = session.spans_from(bracket.opened).iter();
        spans
            .take_while(|span| span.sent <= bracket.closed)
            .last()
            .map_or(Mono(0), |span| span.sent)
    }

    /// The wait, where one that stands behind the migration is in front of it.
    fn through<'l>(
        &self,
        life: &'l Life,
        sighting: &Sighting,
        front: &Stand<'l>,
    ) -> Option<Stand<'l>> {
        let gone = life.absent_after.map(|poll| poll.sent);
        let apart = gone.is_some_and(|gone| gone <= front.shown.0)
            || front.shown.1.is_some_and(|gone| gone <= life.first.sent)
            || front.shown.1.is_some_and(|gone| sighting.at > gone);
        if apart || front.life.row.pid == life.row.pid {
            return None;
        }
        let sure = front.sure && surely_of(sighting, life) && surely_of(sighting, front.life);
        let mut stand = self.stand(life);
        let by = sighting.by.unwrap_or(Mono(u64::MAX));
        // Whoever waits lets nothing go.
        let inner = (
            by.max(front.proved.0),
            front.proved.1.min(stand.wait.inner.1),
        );
        let shown = (
            front.shown.0.max(sighting.at).max(life.first.sent),
            earlier(front.shown.1, gone),
        );
        stand.take(front.pid, sure, inner, shown);
        Some(stand)
    }

    /// A wait of which nothing is known yet but its own length; it stands behind itself.
    fn stand<'l>(&self, life: &'l Life) -> Stand<'l> {
        let edges = holds::edges(life, None, (self.step.started, self.end));
        Stand {
            life,
            pid: self.client(life.row.pid),
            front: life.row.pid,
            stakes: Vec::new(),
            proved: (Mono(0), Mono(0)),
            wait: Stretch {
                inner: (edges.granted_by, edges.released_from),
                outer: (
                    edges.granted_from,
                    Some(edges.released_by.unwrap_or(self.end)),
                ),
            },
            shown: (Mono(u64::MAX), None),
            sure: false,
        }
    }

    /// What a session stands behind, the one directly in front first, the root last.
    pub(super) fn chain(
        &self,
        pid: i32,
        front: i32,
        (from, to): (Mono, Mono),
        lives: &[&Life],
        sightings: &Sightings<'_>,
    ) -> Vec<Stander> {
        let mut chain = vec![front];
        while chain.len() < LONGEST_CHAIN {
            let last = chain[chain.len() - 1];
            let waits = lives.iter().filter(|life| {
                life.row.claim == Claim::Waiting
                    && self.client(life.row.pid) == last
                    && life.first.sent <= to
                    && life.absent_after.is_none_or(|gone| gone.received >= from)
            });
            let seen = waits.flat_map(|life| sightings.of(life));
            let fronts: Vec<i32> = seen
                .filter(|sighting| sighting.at <= to)
                .flat_map(|sighting| sighting.behind.iter().copied())
                .filter(|other| *other != pid && !chain.contains(other))
                .collect();
            // One that waits itself leads on; one that does not is the root.
            let Some(next) = fronts
                .iter()
                .find(|other| !sightings.0.contains_key(other))
                .or(fronts.first())
            else {
                break;
            };
            chain.push(*next);
        }
        chain
            .into_iter()
            .map(|pid| self.stander(pid, (from, to)))
            .collect()
    }

    /// Those in front of a wait of the migration and what they wait for, those directly in front of it first.
    pub(super) fn in_front(
        &self,
        life: &Life,
        lives: &[&Life],
        sightings: &Sightings<'_>,
    ) -> Vec<Stander> {
        let when = (
            life.first.sent,
            life.absent_after.unwrap_or(life.last).received,
        );
        let mut direct: Vec<i32> = Vec::new();
        for pid in sightings.of(life).iter().flat_map(|s| &s.behind) {
            if !direct.contains(pid) && direct.len() < LONGEST_CHAIN {
                direct.push(*pid);
            }
        }
        let mut standers: Vec<Stander> =
            direct.iter().map(|pid| self.stander(*pid, when)).collect();
        let pid = self.client(life.row.pid);
        for front in &direct {
            let chain = self.chain(pid, *front, when, lives, sightings);
            for stander in chain.into_iter().skip(1) {
                if standers.iter().all(|other| other.pid != stander.pid) {
                    standers.push(stander);
                }
            }
        }
        standers
    }

    /// A session, as it was at about this time.
    pub(super) fn stander(&self, pid: i32, (from, to): (Mono, Mono)) -> Stander {
        Stander {
            pid,
            who: self.who(pid),
            query: match self.session(pid) {
                Some(_) => {
                    let then = self.statement_at(pid, from);
                    if then.is_empty() {
                        self.statement_at(pid, to)
                    } else {
                        then
                    }
                }
                None => self.query_at(pid, from, to),
            },
        }
    }

    /// Who it is, in a word or two.
    fn who(&self, pid: i32) -> String {
        if pid == 0 {
            return "prepared transaction".to_owned();
        }
        let pid = self.client(pid);
        if self.step.sessions.contains_key(&pid) {
            return "migration".to_owned();
        }
        let Some((_, backend)) = self.backends.sightings(pid).last() else {
            return if self.is_ours(pid) {
                "migration".to_owned()
            } else {
                "unknown".to_owned()
            };
        };
        let application = backend.application.as_str();
        if application == TRAFFIC {
            "traffic".to_owned()
        } else if let Some(name) = application.strip_prefix(DISTURBANCE_PREFIX) {
            format!("disturbance {name}")
        } else if application.starts_with(MIGRATION_PREFIX) {
            "migration".to_owned()
        } else if !matches!(backend.backend_type.as_str(), "client backend" | "") {
            backend.backend_type.clone()
        } else if application.is_empty() {
            "a client".to_owned()
        } else {
            application.to_owned()
        }
    }
}

impl Stand<'_> {
    /// How long it waited: behind the migration at least, and in all at most.
    pub fn length(&self) -> Bounds {
        let behind = Stretch {
            inner: self.proved,
            outer: self.wait.outer,
        };
        behind.length()
    }

    /// Another reason why it waits: bounds are of the longest part that any of them proves.
    fn take(&mut self, front: i32, sure: bool, inner: (Mono, Mono), shown: (Mono, Option<Mono>)) {
        let inner = if sure { inner } else { (Mono(0), Mono(0)) };
        if self.front == self.life.row.pid {
            self.front = front;
            self.shown = shown;
            self.proved = inner;
        } else {
            self.shown = (
                self.shown.0.min(shown.0),
                match (self.shown.1, shown.1) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    _ => None,
                },
            );
        }
        let longer = |a: (Mono, Mono), b: (Mono, Mono)| a.1.since(a.0) > b.1.since(b.0);
        if longer(inner, self.proved) {
            self.proved = inner;
            self.front = front;
        }
        self.sure |= sure;
    }
}

/// The earlier of two ends; None is the end of everything.
fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
