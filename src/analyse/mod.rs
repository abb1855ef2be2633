//! Recording → [`Timeline`]: what each step held, for how long at least and at most, and who waited.
//!
//! Pure: no I/O, no clock, no budget. Memory grows with the number of lock rows that came and went
//! in a step and with the statements that it ran, not with the number of samples.

mod blind;
mod blocked;
mod chain;
mod holds;
pub mod impact;
mod lives;
mod owner;
mod queue;
mod scene;
mod session;
mod span;
mod step;
mod text;
mod timeouts;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bounds::Bounds;
use crate::clock::Mono;
use crate::pg::LockMode;
use crate::plan::Warmth;
use crate::recording::format::{
    Effects, Event, Header, Outcome, Poll, Quantiles, SnapshotFacts, StatementError, Trace,
};
use crate::recording::traffic::TrafficSummary;
use crate::stage::{Cloned, NetworkFacts, StageKind};

use blind::Polls;
use blocked::Sighting;
use lives::Lives;
use owner::Backends;
use step::OpenStep;
use traffic::OpenTraffic;

pub use impact::{DisturbanceFacts, Moment, Queue, TrafficFacts};

/// Everything that a recording tells.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The recording's head.
    pub header: Header,
    /// The stage; None when it never came up.
    pub stage: Option<StageFacts>,
    /// The replays, in order.
    pub replays: Vec<Replay>,
    /// How well it was watched; None when the recording was cut.
    pub sampling: Option<SamplingFacts>,
    /// Why the stage was lost; None when it was not.
    pub stage_lost: Option<String>,
    /// Wall-clock end; None when the recording was cut.
    pub finished_at: Option<jiff::Timestamp>,
}

/// What ran where.
#[derive(Debug, Clone)]
pub struct StageFacts {
    /// Its kind.
    pub kind: StageKind,
    /// The container image; None unless it is a container.
    pub image: Option<String>,
    /// `server_version`.
    pub server_version: String,
    /// Settings that decide verdicts.
    pub settings: BTreeMap<String, String>,
    /// The role that the migration ran as; None: the superuser, or the one of an external URL.
    pub role: Option<String>,
    /// What of the data was in memory when each replay began; None: nobody saw to it.
    pub warmth: Option<Warmth>,
    /// What it started from.
    pub snapshot: SnapshotFacts,
    /// How the first replay's data were cloned.
    pub cloned: Option<Cloned>,
    /// What its server could reach; None: another's server, or nobody said.
    pub network: Option<NetworkFacts>,
    /// Oddities.
    pub notes: Vec<String>,
}

/// How well it was watched.
#[derive(Debug, Clone)]
pub struct SamplingFacts {
    /// Polls.
    pub samples: u64,
    /// Polls whose result was lost to a full channel.
    pub dropped: u64,
    /// Gaps between polls.
    pub gap: Quantiles,
    /// Round trips.
    pub round_trip: Quantiles,
    /// Why it ended early; None when it did not.
    pub error: Option<String>,
}

/// One pass over all steps.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Which measurement it belongs to, from 1.
    pub repeat: u32,
    /// When it began.
    pub started: Mono,
    /// Its steps, those that were begun.
    pub steps: Vec<StepFacts>,
    /// What ran beside them; None: nothing.
    pub traffic: Option<TrafficFacts>,
    /// Who was in the way, in the order in which they were in place.
    pub disturbances: Vec<DisturbanceFacts>,
}

/// What was seen of a step.
#[derive(Debug, Clone)]
pub struct StepFacts {
    /// Its place in the header's list.
    pub step: usize,
    /// Its replay's place in the timeline.
    pub replay: usize,
    /// When it began.
    pub started: Mono,
    /// How long it took; None when the recording was cut.
    pub elapsed: Option<Duration>,
    /// Attempts that it took.
    pub attempts: u32,
    /// At most so many other scenarios ran meanwhile.
    pub neighbours: u32,
    /// How it ended; None when the recording was cut.
    pub outcome: Option<Outcome>,
    /// What ran.
    pub statements: Vec<StatementFacts>,
    /// The backfill; None unless it is one.
    pub batches: Option<BatchFacts>,
    /// The program; None unless it is one.
    pub command: Option<CommandFacts>,
    /// How many clients of others were on an external server at once, and their names; None: none was seen.
    pub foreign_clients: Option<(u64, Vec<String>)>,
    /// Holds of the migration on relations that were there before the step.
    pub holds: Vec<Hold>,
    /// How many holds were on relations that the step itself made.
    pub ignored_holds: u64,
    /// Holds of others, such as autovacuum.
    pub foreign_holds: Vec<Hold>,
    /// Sessions that stood behind the migration.
    pub blocked: Vec<Blocked>,
    /// Who stood in its way, and behind it.
    pub queue: Queue,
    /// The longest hold that could have come and gone unseen.
    pub blind: Duration,
    /// What it did to tables. Where others were let loose on the server, a table that was scanned, by whomever, is
    /// among them without a scan.
    pub traces: Vec<Trace>,
}

/// A statement that lockproof sent.
#[derive(Debug, Clone)]
pub struct StatementFacts {
    /// Its text.
    pub sql: String,
    /// From the step's start to its sending.
    pub started: Duration,
    /// From sending to the end of the reply; None when no reply came.
    pub elapsed: Option<Duration>,
    /// Rows by the command tag.
    pub rows: u64,
    /// None when it went well.
    pub error: Option<StatementError>,
}

/// A backfill's course.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchFacts {
    /// Batches that touched rows.
    pub count: u64,
    /// Rows in all.
    pub rows: u64,
    /// Median time of the first tenth of the batches, at least one.
    pub early: Duration,
    /// Median time of the last tenth.
    pub late: Duration,
}

/// A program's course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandFacts {
    /// What ran.
    pub argv: Vec<String>,
    /// What it could reach; None: nobody said.
    pub network: Option<NetworkFacts>,
    /// Its exit status; None when a signal or the time-out ended it.
    pub status: Option<i32>,
    /// Its last lines of output.
    pub output: Vec<String>,
    /// What it did to the stage; None: a recording that does not say.
    pub effects: Option<Effects>,
}

/// Whether a hold is surely of whom it is listed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// It is.
    Known,
    /// A program's session or a stranger's: nothing tells.
    Unclear,
}

/// A lock, from granted to released.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The relation's name.
    pub relation: String,
    /// The table of an index or a TOAST relation.
    pub parent: Option<String>,
    /// The mode.
    pub mode: LockMode,
    /// The server process; 0 for a prepared transaction.
    pub pid: i32,
    /// Whose it is.
    pub holder: Holder,
    /// Granted → released.
    pub hold: Bounds,
    /// Asked → granted.
    pub wait: Bounds,
    /// From the step's start to the moment by which it was surely granted.
    pub granted_after: Duration,
    /// When it was asked for, since the replay began; None: it was granted at once, or nothing tells.
    pub asked: Option<Moment>,
    /// When it was granted, since the replay began.
    pub granted: Moment,
    /// When it was released, since the replay began.
    pub released: Moment,
    /// The statement, or one of those, that took it; empty when nothing tells.
    pub granted_by: Vec<String>,
    /// The statements that ran while it was still held, longest first, the first ten of them.
    pub lengthened_by: Vec<String>,
}

/// A session that stood behind the migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Its server process.
    pub pid: i32,
    /// What it ran.
    pub query: String,
    /// How long it waited.
    pub waited: Bounds,
    /// The statement of the migration that it stood behind.
    pub behind: String,
}

/// Turns events into a timeline, one by one.
#[derive(Debug)]
pub struct Analyst {
    timeline: Timeline,
    lives: Lives,
    backends: Backends,
    polls: Polls,
    /// For whom each was last seen to wait.
    waiters: BTreeMap<i32, Sighting>,
    open: Option<OpenStep>,
    traffic: Option<OpenTraffic>,
}

impl Analyst {
    /// Begins with the recording's head.
    pub fn new(header: Header) -> Self {
        Self {
            timeline: Timeline {
                header,
                stage: None,
                replays: Vec::new(),
                sampling: None,
                stage_lost: None,
                finished_at: None,
            },
            lives: Lives::default(),
            backends: Backends::default(),
            polls: Polls::NotYet,
            waiters: BTreeMap::new(),
            open: None,
            traffic: None,
        }
    }

    /// Takes the next event.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Stage {
                kind,
                image,
                server_version,
                settings,
                role,
                warmth,
                snapshot,
                cloned,
                network,
                notes,
            } => {
                self.timeline.stage = Some(StageFacts {
                    kind,
                    image,
                    server_version,
                    settings,
                    role,
                    warmth,
                    snapshot,
                    cloned,
                    network,
                    notes,
                });
            }
            Event::ReplayStarted { repeat, at, .. } => {
                self.close_step();
                self.close_traffic(None);
                self.lives = Lives::default();
                self.backends = Backends::default();
                self.waiters.clear();
                self.polls = Polls::NotYet;
                self.timeline.replays.push(Replay {
                    repeat,
                    started: at,
                    steps: Vec::new(),
                    traffic: None,
                    disturbances: Vec::new(),
                });
            }
            Event::StepStarted { step, at } => {
                self.close_step();
                self.lives.forget_finished();
                let mut open = OpenStep::new(step, at, self.polls);
                // Only news is told: who waited before may still do.
                open.waiters.extend(self.waiters.values().cloned());
                self.open = Some(open);
            }
            Event::Locks {
                before,
                poll,
                taken,
                gone,
            } => {
                self.polls = Polls::UnderWay;
                self.lives.change(before, poll, &taken, &gone);
                if let Some(open) = &mut self.open {
                    open.poll(poll);
                }
            }
            Event::Samples {
                longest_gap, last, ..
            } => {
                self.polls = Polls::UnderWay;
                self.lives.seen_until(last);
                if let Some(open) = &mut self.open {
                    open.watched(longest_gap, last);
                }
            }
            Event::Gap { from, to } => {
                if let Some(open) = &mut self.open {
                    open.gap(from, to);
                }
            }
            Event::Backend { at, backend } => self.backends.saw(at, backend),
            Event::Waiter {
                at,
                pid,
                behind,
                by,
            } => {
                let sighting = Sighting {
                    at,
                    by,
                    pid,
                    behind,
                };
                if let Some(open) = &mut self.open {
                    open.waiters.push(sighting.clone());
                }
                self.waiters.insert(pid, sighting);
            }
            Event::Sampling {
                samples,
                dropped,
                gap,
                round_trip,
                error,
            } => {
                self.close_step();
                self.add_sampling(SamplingFacts {
                    samples,
                    dropped,
                    gap,
                    round_trip,
                    error,
                });
            }
            Event::TrafficStarted { at } => {
                self.close_traffic(None);
                if let (Some(replay), Some(header)) =
                    (self.timeline.replays.last(), &self.timeline.header.traffic)
                {
                    self.traffic = Some(OpenTraffic::new(at, replay.started, header.slice));
                }
            }
            Event::Requests(requests) => {
                if let Some(traffic) = &mut self.traffic {
                    traffic.requests(&requests);
                }
            }
            Event::Request(request) => {
                if let Some(traffic) = &mut self.traffic {
                    traffic.request(&request);
                }
            }
            Event::TrafficEnded { summary, .. } => self.close_traffic(Some(summary)),
            Event::DisturbanceBegan {
                disturbance,
                at,
                pids,
            } => {
                if let Some(replay) = self.timeline.replays.last_mut() {
                    replay.disturbances.push(DisturbanceFacts {
                        disturbance,
                        began: at.since(replay.started),
                        ended: None,
                        pids,
                        error: None,
                    });
                }
            }
            Event::DisturbanceEnded {
                disturbance,
                at,
                error,
            } => {
                let replay = self.timeline.replays.last_mut();
                let began = replay.map(|replay| (replay.started, &mut replay.disturbances));
                if let Some((started, disturbances)) = began
                    && let Some(facts) = disturbances
                        .iter_mut()
                        .rfind(|facts| facts.disturbance == disturbance)
                {
                    facts.ended = Some(at.since(started));
                    facts.error = error;
                }
            }
            Event::StageLost { message } => self.timeline.stage_lost = Some(message),
            Event::RunFinished { finished_at } => {
                self.close_step();
                self.timeline.finished_at = Some(finished_at);
            }
            event => {
                if let Some(open) = &mut self.open {
                    open.push(event);
                }
            }
        }
    }

    /// Ends the analysis.
    pub fn finish(mut self) -> Timeline {
        self.close_step();
        self.close_traffic(None);
        self.timeline
    }

    /// All that is known so far; the step under way is not in it.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn close_step(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let open_step = open.step;
        let external =
            matches!(&self.timeline.stage, Some(stage) if stage.kind == StageKind::External);
        let began = self.timeline.replays.last().map(|replay| replay.started);
        let mut facts = open.close(
            began.unwrap_or_default(),
            &self.lives,
            &self.backends,
            owner::Neighbours::of(external),
            timeouts::TimeOuts::of(
                self.timeline.header.steps.get(open_step),
                self.timeline.stage.as_ref(),
            ),
            self.timeline.header.gap_floor,
        );
        facts.replay = self.timeline.replays.len().saturating_sub(1);
        if self.timeline.header.has_others() {
            facts.traces.iter_mut().for_each(forget_scans);
        }
        if let Some(replay) = self.timeline.replays.last_mut() {
            replay.steps.push(facts);
        }
    }

    fn close_traffic(&mut self, summary: Option<TrafficSummary>) {
        let replay = self.timeline.replays.last_mut();
        if let (Some(traffic), Some(replay)) = (self.traffic.take(), replay) {
            replay.traffic = Some(traffic.close(summary));
        }
    }

    /// Several replays are sampled one after the other: the worst of each figure counts.
    fn add_sampling(&mut self, next: SamplingFacts) {
        let worst = |a: Quantiles, b: Quantiles| Quantiles {
            p50: a.p50.max(b.p50),
            p99: a.p99.max(b.p99),
            max: a.max.max(b.max),
        };
        self.timeline.sampling = Some(match self.timeline.sampling.take() {
            None => next,
            Some(sum) => SamplingFacts {
                samples: sum.samples.saturating_add(next.samples),
                dropped: sum.dropped.saturating_add(next.dropped),
                gap: worst(sum.gap, next.gap),
                round_trip: worst(sum.round_trip, next.round_trip),
                error: next.error.or(sum.error),
            },
        });
    }
}

/// The middle of a poll's two moments is never used: each bound takes the end that is safe.
fn earliest(poll: Poll) -> Mono {
    poll.sent
}

fn latest(poll: Poll) -> Mono {
    poll.received
}

/// The server adds up everybody's scans: beside traffic or a disturbance none is proved to be the step's.
fn forget_scans(trace: &mut Trace) {
    trace.scans = 0;
    trace.rows_scanned = 0;
    trace.blocks = 0;
}
