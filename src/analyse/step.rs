//! Gathers what happened in one step, and at its end works out its facts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::blind::{Polls, Watch};
use super::blocked::Sighting;
use super::lives::{Life, Lives};
use super::owner::{Backends, Neighbours};
use super::scene::Scene;
use super::session::{Bracket, Session};
use super::text::Text;
use super::timeouts::TimeOuts;
use super::{BatchFacts, CommandFacts, Queue, StatementFacts, StepFacts};
use crate::clock::Mono;
use crate::recording::format::{Event, Outcome, Poll, Relation, StatementError, Trace};

/// A step that is under way.
#[derive(Debug)]
pub struct OpenStep {
    pub(super) step: usize,
    pub(super) started: Mono,
    finished: Option<Mono>,
    attempts: u32,
    pub(super) rested: Duration,
    neighbours: u32,
    outcome: Option<Outcome>,
    pub(super) sessions: BTreeMap<i32, Session>,
    texts: BTreeMap<usize, Text>,
    runs: Vec<Run>,
    batches: Vec<(u64, Duration)>,
    pub(super) command: Option<(CommandFacts, Bracket)>,
    watch: Watch,
    /// Polls that were asked for or written now and then, in order of time.
    polls: Vec<Poll>,
    pub(super) waiters: Vec<Sighting>,
    pub(super) relations: BTreeMap<u32, Relation>,
    traces: Vec<Trace>,
    foreign_clients: Option<(u64, Vec<String>)>,
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
    /// Begins.
    pub fn new(step: usize, at: Mono, polls: Polls) -> Self {
        Self {
            step,
            started: at,
            finished: None,
            attempts: 1,
            rested: Duration::ZERO,
            neighbours: 0,
            outcome: None,
            sessions: BTreeMap::new(),
            texts: BTreeMap::new(),
            runs: Vec::new(),
            batches: Vec::new(),
            command: None,
            watch: Watch::new(polls, at),
            polls: Vec::new(),
            waiters: Vec::new(),
            relations: BTreeMap::new(),
            traces: Vec::new(),
            foreign_clients: None,
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
                lock_timeout,
            } => {
                if let Some(sql) = sql {
                    self.texts.insert(index, Text::new(sql, lock_timeout));
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
                let run = self.runs.iter_mut().rev().find(|run| run.pid == pid);
                if let Some(session) = self.sessions.get_mut(&pid) {
                    session.done(at, in_transaction);
                    let text = run.as_ref().and_then(|run| self.texts.get(&run.index));
                    if error.is_none() && text.is_some_and(|text| text.prepares) {
                        session.prepared(at);
                    }
                }
                if let Some(run) = run {
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
            Event::Retry {
                attempt, rested_ns, ..
            } => {
                self.attempts = self.attempts.max(attempt);
                self.rested = self.rested.saturating_add(Duration::from_nanos(rested_ns));
            }
            Event::CommandStarted { argv, at, network } => {
                self.command = Some((
                    CommandFacts {
                        argv,
                        network,
                        status: None,
                        output: Vec::new(),
                        effects: None,
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
            Event::ForeignClients { most, applications } => {
                self.foreign_clients = Some((most, applications));
            }
            Event::CommandDid(effects) => {
                if let Some((facts, _)) = &mut self.command {
                    facts.effects = Some(effects);
                }
            }
            Event::StepFinished {
                at,
                attempts,
                neighbours,
                outcome,
                ..
            } => {
                self.finished = Some(at);
                self.attempts = attempts;
                self.neighbours = neighbours;
                self.outcome = Some(outcome);
            }
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
        began: Mono,
        lives: &Lives,
        backends: &Backends,
        neighbours: Neighbours,
        timeouts: TimeOuts,
        gap_floor: Duration,
    ) -> StepFacts {
        let end = self.finished.unwrap_or_else(|| self.last_moment());
        let scene = Scene {
            began,
            step: &self,
            backends,
            neighbours,
            timeouts,
            end,
        };
        let lives: Vec<Life> = lives
            .iter()
            .filter(|life| life.last.received >= self.started)
            .collect();
        let lives: Vec<&Life> = lives.iter().collect();
        let mut facts = StepFacts {
            step: self.step,
            replay: 0,
            started: self.started,
            elapsed: self.finished.map(|at| at.since(self.started)),
            attempts: self.attempts,
            neighbours: self.neighbours,
            outcome: self.outcome.clone(),
            statements: self.statements(),
            batches: self.batch_facts(),
            command: self.command.as_ref().map(|(facts, _)| facts.clone()),
            foreign_clients: self.foreign_clients.clone(),
            holds: Vec::new(),
            ignored_holds: 0,
            foreign_holds: Vec::new(),
            blocked: scene.blocked(&lives),
            queue: Queue::default(),
            blind: self
                .watch
                .blind(&self.windows(end), gap_floor, (self.started, end)),
            traces: self.traces.clone(),
        };
        let grips = scene.sort_holds(&lives, &mut facts);
        facts.queue = scene.queue(&lives, &grips);
        facts.queue.unseen =
            self.watch
                .blind(&self.open_to_waits(end), gap_floor, (self.started, end));
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
        // What is prepared stays locked after the transaction of the session that prepared it.
        if self.texts.values().any(|text| text.prepares) {
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

    /// When somebody could wait behind the migration without a poll to tell: whenever it has a transaction, whatever
    /// that is known to lock, since rows are not in it.
    fn open_to_waits(&self, end: Mono) -> Vec<Bracket> {
        let sessions = self.sessions.values();
        let brackets = sessions.flat_map(|session| session.brackets(end));
        brackets.chain(self.windows(end)).collect()
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
            if !self.text(span.index).is_some_and(|text| text.keeps_locks) {
                break;
            }
            let first = self.polls.partition_point(|poll| poll.sent < done);
            if self
                .polls
                .get(first)
                .is_some_and(|poll| poll.received <= next.sent)
            {
                // COMMIT itself takes no lock on a relation, however long its flush lasts.
                let ends = self.text(next.index).is_some_and(|text| text.commits);
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
        let mut runs: Vec<&Run> = self
            .runs
            .iter()
            .filter(|run| !repeated || run.index == 0)
            .collect();
        // Of several sessions, one may have been heard of late.
        runs.sort_by_key(|run| (run.sent, run.pid));
        for run in runs {
            let elapsed = run.done.map(|done| done.since(run.sent));
            if let Some(same) = facts.last_mut().filter(|_| repeated) {
                same.elapsed = same.elapsed.zip(elapsed).map(|(a, b)| a + b);
                same.error = run.error.clone();
                continue;
            }
            facts.push(StatementFacts {
                sql: self.sql(run.index),
                started: run.sent.since(self.started),
                elapsed,
                rows: run.rows,
                error: run.error.clone(),
            });
        }
        if let (true, [only]) = (repeated, facts.as_mut_slice()) {
            only.rows = self.batch_rows();
        }
        facts
    }

    fn batch_rows(&self) -> u64 {
        let rows = self.batches.iter().map(|(rows, _)| *rows);
        rows.fold(0, u64::saturating_add)
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
            rows: self.batch_rows(),
            early: median(&self.batches[..tenth]),
            late: median(&self.batches[self.batches.len() - tenth..]),
        })
    }

    /// Whether the reply that a session got at this moment was an error.
    pub(super) fn failed(&self, pid: i32, done: Mono) -> bool {
        let mut runs = self.runs.iter().rev();
        let run = runs.find(|run| run.pid == pid && run.done == Some(done));
        run.is_none_or(|run| run.error.is_some())
    }

    /// What was told of the statement in this place of the step.
    pub(super) fn text(&self, index: usize) -> Option<&Text> {
        self.texts.get(&index)
    }

    /// Its SQL; empty where nothing was told.
    pub(super) fn sql(&self, index: usize) -> String {
        self.text(index)
            .map_or_else(String::new, |text| text.sql.clone())
    }
}
