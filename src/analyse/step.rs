//! Gathers what happened in one step, and at its end works out its facts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::blind::Watch;
use super::blocked::{self, Sighting};
use super::holds::{self, Edges, Succession};
use super::lives::{Life, Lives};
use super::owner::{Backends, Neighbours, Owner};
use super::session::{Bracket, Session};
use super::{BatchFacts, Blocked, CommandFacts, Hold, Holder, StatementFacts, StepFacts};
use crate::bounds::Bounds;
use crate::clock::Mono;
use crate::recording::format::{
    Claim, Event, LockRow, Origin, Outcome, Poll, Relation, StatementError, Trace,
};
use crate::sql::{Kind, Verb};

/// How many of the statements that lengthened a hold are named. All would be a list of all statements
/// for each lock of a long transaction: gigabytes for some thousand tables.
const LENGTHENERS: usize = 10;

/// A step that is under way.
#[derive(Debug)]
pub struct OpenStep {
    step: usize,
    started: Mono,
    finished: Option<Mono>,
    attempts: u32,
    outcome: Option<Outcome>,
    sessions: BTreeMap<i32, Session>,
    texts: BTreeMap<usize, String>,
    runs: Vec<Run>,
    batches: Vec<(u64, Duration)>,
    command: Option<(CommandFacts, Bracket)>,
    watch: Watch,
    /// Polls that were asked for or written now and then, in order of time.
    polls: Vec<Poll>,
    waiters: Vec<Sighting>,
    relations: BTreeMap<u32, Relation>,
    traces: Vec<Trace>,
}

/// One sending of a statement.
#[derive(Debug)]
struct Run {
    index: usize,
    pid: i32,
    sent: Mono,
    done: Option<Mono>,
    rows: u64,
    error: Option<StatementError>,
}

impl OpenStep {
    /// Begins; `watched` is true when polls were under way already.
    pub fn new(step: usize, at: Mono, watched: bool) -> Self {
        Self {
            step,
            started: at,
            finished: None,
            attempts: 1,
            outcome: None,
            sessions: BTreeMap::new(),
            texts: BTreeMap::new(),
            runs: Vec::new(),
            batches: Vec::new(),
            command: None,
            watch: Watch::new(watched, at),
            polls: Vec::new(),
            waiters: Vec::new(),
            relations: BTreeMap::new(),
            traces: Vec::new(),
        }
    }

    /// Polls went on.
    pub fn watched(&mut self, longest_gap: Duration, last: Poll) {
        self.poll(last);
        self.polls.push(last);
        self.watch.samples(longest_gap, last.sent);
    }

    /// A poll answered.
    pub fn poll(&mut self, poll: Poll) {
        self.watch.poll(poll.received);
    }

    /// Nothing was seen in between.
    pub fn gap(&mut self, from: Mono, to: Mono) {
        self.watch.gap(from, to);
    }

    /// Takes an event of the step itself.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::SessionOpened { pid } => {
                self.sessions.entry(pid).or_default();
            }
            Event::StatementSent {
                index,
                pid,
                at,
                sql,
                vacuum,
            } => {
                if let Some(sql) = sql {
                    self.texts.insert(index, sql);
                }
                self.sessions
                    .entry(pid)
                    .or_default()
                    .sent(index, at, vacuum);
                self.runs.push(Run {
                    index,
                    pid,
                    sent: at,
                    done: None,
                    rows: 0,
                    error: None,
                });
            }
            Event::StatementDone {
                pid,
                at,
                rows,
                in_transaction,
                error,
            } => {
                if let Some(session) = self.sessions.get_mut(&pid) {
                    session.done(at, in_transaction);
                }
                if let Some(run) = self.runs.iter_mut().rev().find(|run| run.pid == pid) {
                    run.done = Some(at);
                    run.rows = rows;
                    run.error = error;
                }
            }
            Event::Batch { rows, .. } => {
                let done = self.runs.last().and_then(|run| run.done);
                let sent = self.runs.iter().rev().find(|run| run.index == 0);
                if let (Some(done), Some(run)) = (done, sent) {
                    self.batches.push((rows, done.since(run.sent)));
                }
            }
            Event::Retry { attempt, .. } => self.attempts = self.attempts.max(attempt),
            Event::CommandStarted { argv, at } => {
                self.command = Some((
                    CommandFacts {
                        argv,
                        status: None,
                        output: Vec::new(),
                    },
                    Bracket {
                        opened: at,
                        closed: Mono(u64::MAX),
                    },
                ));
            }
            Event::CommandExited { at, status, output } => {
                if let Some((facts, window)) = &mut self.command {
                    facts.status = status;
                    facts.output = output;
                    window.closed = at;
                }
            }
            Event::StepFinished {
                at,
                attempts,
                outcome,
                ..
            } => {
                self.finished = Some(at);
                self.attempts = attempts;
                self.outcome = Some(outcome);
            }
            Event::Waiter { at, pid, behind } => self.waiters.push(Sighting { at, pid, behind }),
            Event::Relations { relations, .. } => self.relations.extend(
                relations
                    .into_iter()
                    .map(|relation| (relation.oid, relation)),
            ),
            Event::Traces { traces, .. } => self.traces = traces,
            _ => {}
        }
    }

    /// Works out what the step held and whom it blocked.
    pub fn close(
        self,
        lives: &Lives,
        backends: &Backends,
        neighbours: Neighbours,
        gap_floor: Duration,
    ) -> StepFacts {
        let end = self.finished.unwrap_or_else(|| self.last_moment());
        let scene = Scene {
            step: &self,
            backends,
            neighbours,
            end,
        };
        let lives: Vec<Life> = lives
            .iter()
            .filter(|life| life.last.received >= self.started)
            .collect();
        let lives: Vec<&Life> = lives.iter().collect();
        let mut facts = StepFacts {
            step: self.step,
            started: self.started,
            elapsed: self.finished.map(|at| at.since(self.started)),
            attempts: self.attempts,
            outcome: self.outcome.clone(),
            statements: self.statements(),
            batches: self.batch_facts(),
            command: self.command.as_ref().map(|(facts, _)| facts.clone()),
            holds: Vec::new(),
            ignored_holds: 0,
            foreign_holds: Vec::new(),
            blocked: scene.blocked(&lives),
            blind: self
                .watch
                .blind(&self.windows(end), gap_floor, (self.started, end)),
            traces: self.traces.clone(),
        };
        scene.sort_holds(&lives, &mut facts);
        facts
    }

    /// When a lock of the migration could be held without a poll to tell.
    fn windows(&self, end: Mono) -> Vec<Bracket> {
        let mut windows: Vec<Bracket> = self
            .sessions
            .values()
            .flat_map(|session| {
                session
                    .brackets(end)
                    .into_iter()
                    .map(|bracket| self.unproved(session, bracket))
            })
            .collect();
        // What is prepared stays locked after the transaction of the session that prepared it. Its
        // name may be hidden, so that PREPARE TRANSACTION looks like PREPARE.
        let prepares = |text: &String| {
            let verb = Kind::of(text).verb();
            matches!(verb, Verb::PrepareTransaction | Verb::Prepare)
        };
        if self.texts.values().any(prepares) {
            windows.push(Bracket {
                opened: self.started,
                closed: end,
            });
        }
        if let Some((_, window)) = self.command {
            windows.push(Bracket {
                closed: window.closed.min(end),
                ..window
            });
        }
        windows
    }

    /// The part of a transaction that no poll during a rest of its session answers for.
    ///
    /// A transaction keeps its locks on relations to its end; only a rollback to a savepoint lets one
    /// go earlier. So a lock that is not there in a rest was never taken before it, however far apart
    /// the polls were meanwhile.
    fn unproved(&self, session: &Session, bracket: Bracket) -> Bracket {
        let mut opened = bracket.opened;
        let spans = session.spans_from(bracket.opened);
        for (span, next) in spans.iter().zip(&spans[1.min(spans.len())..]) {
            let Some(done) = span.done.filter(|_| next.sent <= bracket.closed) else {
                break;
            };
            if !self
                .texts
                .get(&span.index)
                .is_some_and(|sql| keeps_locks(sql))
            {
                break;
            }
            let first = self.polls.partition_point(|poll| poll.sent < done);
            if self
                .polls
                .get(first)
                .is_some_and(|poll| poll.received <= next.sent)
            {
                // COMMIT itself takes no lock on a relation, however long its flush lasts.
                let ends = self
                    .texts
                    .get(&next.index)
                    .is_some_and(|sql| is_commit(sql));
                opened = if ends { bracket.closed } else { next.sent };
            }
        }
        Bracket { opened, ..bracket }
    }

    fn last_moment(&self) -> Mono {
        self.runs
            .iter()
            .map(|run| run.done.unwrap_or(run.sent))
            .max()
            .unwrap_or(self.started)
    }

    fn statements(&self) -> Vec<StatementFacts> {
        let mut facts: Vec<StatementFacts> = Vec::new();
        // A batch's statement is sent many times: its time and rows add up. The transaction around
        // it is no statement of the user's.
        let repeated = !self.batches.is_empty();
        for run in self.runs.iter().filter(|run| !repeated || run.index == 0) {
            let elapsed = run.done.map(|done| done.since(run.sent));
            if let Some(same) = facts.last_mut().filter(|_| repeated) {
                same.elapsed = same.elapsed.zip(elapsed).map(|(a, b)| a + b);
                same.error = run.error.clone();
                continue;
            }
            facts.push(StatementFacts {
                sql: self.text(run.index),
                started: run.sent.since(self.started),
                elapsed,
                rows: run.rows,
                error: run.error.clone(),
            });
        }
        if let (true, [only]) = (repeated, facts.as_mut_slice()) {
            only.rows = self.batches.iter().map(|(rows, _)| rows).sum();
        }
        facts
    }

    fn batch_facts(&self) -> Option<BatchFacts> {
        if self.batches.is_empty() {
            return None;
        }
        let tenth = (self.batches.len() / 10).max(1);
        let median = |batches: &[(u64, Duration)]| {
            let mut times: Vec<Duration> = batches.iter().map(|(_, elapsed)| *elapsed).collect();
            times.sort_unstable();
            times[times.len() / 2]
        };
        Some(BatchFacts {
            count: self.batches.len() as u64,
            rows: self.batches.iter().map(|(rows, _)| rows).sum(),
            early: median(&self.batches[..tenth]),
            late: median(&self.batches[self.batches.len() - tenth..]),
        })
    }

    fn text(&self, index: usize) -> String {
        self.texts.get(&index).cloned().unwrap_or_default()
    }
}

/// False for a statement that only opens or marks a transaction.
fn takes_locks(sql: &str) -> bool {
    use crate::sql::TransactionControl::{Begin, Release, RollbackTo, Savepoint};
    !matches!(
        Kind::of(sql).transaction_control(),
        Some(Begin | Savepoint | Release | RollbackTo)
    )
}

fn is_commit(sql: &str) -> bool {
    use crate::sql::TransactionControl::Commit;
    Kind::of(sql).transaction_control() == Some(Commit { chain: false })
}

/// True for a statement that is not known to hide subtransactions: a block of code may roll one back,
/// and its locks with it. A function that a trigger or an expression calls may as well; that is one of
/// the report's limits.
fn keeps_locks(sql: &str) -> bool {
    use crate::sql::Verb;
    matches!(
        Kind::of(sql).verb(),
        Verb::Begin
            | Verb::Savepoint
            | Verb::Set { .. }
            | Verb::Insert
            | Verb::Update
            | Verb::Delete
            | Verb::Merge
            | Verb::With
            | Verb::Copy
            | Verb::Create(_)
            | Verb::Alter(_)
            | Verb::Drop(_)
            | Verb::Truncate
            | Verb::Comment
            | Verb::Lock
            | Verb::Refresh
            | Verb::Reindex
    )
}

/// A step with its surroundings, at its end.
struct Scene<'a> {
    step: &'a OpenStep,
    backends: &'a Backends,
    neighbours: Neighbours,
    end: Mono,
}

impl Scene<'_> {
    fn owner(&self, pid: i32) -> Owner {
        if self.step.sessions.contains_key(&pid) {
            return Owner::Migration;
        }
        if let Some(leader) = self.backends.leader(pid) {
            return self.owner(leader);
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

    fn session(&self, pid: i32) -> Option<&Session> {
        self.step.sessions.get(&pid)
    }

    fn edges(&self, life: &Life) -> Edges {
        holds::edges(
            life,
            self.session(life.row.pid),
            (self.step.started, self.end),
        )
    }

    fn sort_holds(&self, lives: &[&Life], facts: &mut StepFacts) {
        let mut granted: Vec<&Life> = lives
            .iter()
            .copied()
            .filter(|life| life.row.claim == Claim::Granted && life.row.relation != 0)
            .collect();
        granted.sort_by_key(|life| (life.first.sent, life.row));
        let mut asked = BTreeMap::new();
        for life in lives.iter().filter(|l| l.row.claim == Claim::Waiting) {
            asked.entry(life.row).or_insert(*life);
        }
        let mut taken = vec![false; granted.len()];
        for index in 0..granted.len() {
            if std::mem::replace(&mut taken[index], true) {
                continue;
            }
            let life = granted[index];
            let mut edges = self.edges(life);
            let mut tail = life;
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
                    edges = edges.joined_by(self.edges(next));
                } else if let Some(succession) = holds::succession(tail, next, vacuums) {
                    taken[later] = true;
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
                // Nobody's business either, and without a name until it is committed.
                (Owner::Unclear | Owner::Foreign, Some(Origin::New)) => {}
                (Owner::Unclear, _) if life.first.received < self.step.started => {}
                // The program's or a stranger's: the program held it so long, or not at all.
                (Owner::Unclear, _) => {
                    let mut hold = self.hold(life, &edges, &asked);
                    hold.hold = Bounds::new(Duration::ZERO, hold.hold.at_most());
                    hold.holder = Holder::Unclear;
                    facts.holds.push(hold);
                }
                (Owner::Migration, Some(Origin::New)) => facts.ignored_holds += 1,
                // It began in an earlier step, where it was judged.
                (Owner::Migration, _) if life.first.received < self.step.started => {}
                (Owner::Migration, _) => facts.holds.push(self.hold(life, &edges, &asked)),
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
    }

    fn hold(&self, life: &Life, edges: &Edges, asked: &BTreeMap<LockRow, &Life>) -> Hold {
        let waiting = LockRow {
            claim: Claim::Waiting,
            ..life.row
        };
        let asked = asked.get(&waiting).map(|waiting| self.edges(waiting));
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
            granted_by,
            lengthened_by,
        }
    }

    /// The statements that may have taken a lock, and those that ran while it was held.
    fn statements_of(&self, session: &Session, edges: &Edges) -> (Vec<String>, Vec<String>) {
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
        let texts: Vec<String> = takers.iter().map(|index| self.step.text(*index)).collect();
        let (plain, control): (Vec<String>, Vec<String>) =
            texts.into_iter().partition(|text| takes_locks(text));
        lengtheners.sort_by_key(|&(elapsed, index)| (std::cmp::Reverse(elapsed), index));
        let mut named: Vec<usize> = lengtheners.into_iter().map(|(_, index)| index).collect();
        named.dedup();
        (
            if plain.is_empty() { control } else { plain },
            named
                .into_iter()
                .take(LENGTHENERS)
                .map(|index| self.step.text(index))
                .collect(),
        )
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

    fn blocked(&self, lives: &[&Life]) -> Vec<Blocked> {
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

    fn query_at(&self, pid: i32, from: Mono, to: Mono) -> String {
        let sightings = self.backends.sightings(pid);
        sightings
            .iter()
            .find(|(at, _)| *at >= from && *at <= to)
            .or_else(|| sightings.last())
            .map(|(_, backend)| backend.query.clone())
            .unwrap_or_default()
    }

    /// What a session of the migration ran, or had run last, at a moment.
    fn statement_at(&self, pid: i32, moment: Mono) -> String {
        let Some(session) = self.session(pid) else {
            return self.query_at(pid, moment, self.end);
        };
        session
            .spans()
            .iter()
            .rev()
            .find(|span| span.sent <= moment)
            .map(|span| self.step.text(span.index))
            .unwrap_or_default()
    }
}
