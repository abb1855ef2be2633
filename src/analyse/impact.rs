//! What applications felt, as facts: the queue behind the migration, and the traffic beside it.
//!
//! Moments are durations since the replay began, so that a picture needs no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bounds::Bounds;
use crate::pg::LockMode;
use crate::recording::format::Quantiles;
use crate::recording::traffic::{Ending, Endings, TrafficSummary, Window};

/// A moment that was observed: not before `earliest`, not after `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Not before.
    pub earliest: Duration,
    /// Not after; None: nothing tells.
    pub latest: Option<Duration>,
}

/// Who stood in the migration's way and behind it, in one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue {
    /// Each wait of the migration for a lock, in order of time; those in vain as well.
    pub waits: Vec<Wait>,
    /// Each ACCESS EXCLUSIVE that the migration asked for, from asked to released or given up, in order of time.
    pub exclusions: Vec<Exclusion>,
    /// The most sessions that were seen behind the migration in one poll; None: nobody ever.
    pub deepest: Option<Depth>,
    /// How many stood behind it, when that changed; at most some hundred points, the deepest of each stretch.
    pub depth: Vec<Depth>,
    /// Who waited longest behind the migration; None: nobody.
    pub victim: Option<Victim>,
    /// How long the longest of all waits behind the migration was, whoever's it was; None: there was none.
    pub longest: Option<Bounds>,
    /// Waits behind the migration that were seen, of however many sessions.
    pub blocked: u64,
    /// Those of them that surely stood behind it: by the server's own word, or because it held the very lock.
    pub surely_blocked: u64,
    /// All exclusions together, where they overlap counted once; None: there was none.
    pub excluded: Option<Bounds>,
    /// Rests between attempts, together.
    pub rested: Duration,
    /// The longest that somebody could have waited behind the migration unseen.
    pub unseen: Duration,
    /// For how long there was a relation on which no request could finish: the union of the exclusions behind which
    /// somebody waited; None: nobody did.
    pub downtime: Option<Bounds>,
    /// What the statements' `lock_timeout` was, in order of the statements that took a lock that stops writes.
    pub lock_timeouts: Vec<LockTimeout>,
}

/// A wait of the migration for a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// The relation; None: the wait was for something else, such as the end of a transaction.
    pub relation: Option<String>,
    /// The mode.
    pub mode: LockMode,
    /// The session.
    pub pid: i32,
    /// From its start, since the replay began.
    pub asked: Moment,
    /// How long.
    pub waited: Bounds,
    /// How it ended.
    pub ended: WaitEnd,
    /// The statement that waited.
    pub statement: String,
    /// What it stood behind, those directly in front of it first.
    pub behind: Vec<Stander>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitEnd {
    /// The lock was granted.
    Granted,
    /// It was given up: `lock_timeout`, a deadlock, a cancel. In a program's session also one that was granted for
    /// so short that no poll saw it.
    InVain,
}

/// A session in a chain of waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stander {
    /// Its server process.
    pub pid: i32,
    /// Who it is: `migration`, `traffic`, `autovacuum worker`, an application's name.
    pub who: String,
    /// What it runs or ran last, literals hidden unless asked for.
    pub query: String,
}

/// An ACCESS EXCLUSIVE of the migration on one relation.
#[derive(Debug, Clone, PartialEq)]
pub struct Exclusion {
    /// The relation.
    pub relation: String,
    /// The session.
    pub pid: i32,
    /// When it was asked for, since the replay began.
    pub asked: Moment,
    /// Asked → released or given up.
    pub lasted: Bounds,
    /// Whether it was granted.
    pub ended: WaitEnd,
    /// Sessions that were seen to wait behind it.
    pub blocked: u64,
}

/// How many stood behind the migration at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// When, since the replay began.
    pub at: Duration,
    /// How many.
    pub sessions: u64,
}

/// Who waited longest behind the migration.
#[derive(Debug, Clone, PartialEq)]
pub struct Victim {
    /// The session.
    pub session: Stander,
    /// How long it waited.
    pub waited: Bounds,
    /// What it stood behind, the one directly in front of it first, the root of it all last.
    pub chain: Vec<Stander>,
}

/// A statement that took or asked for a lock that stops writes, or reads as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockTimeout {
    /// The statement.
    pub statement: String,
    /// The strongest mode that it asked for.
    pub mode: LockMode,
    /// The time-out that applied.
    pub in_force: InForce,
}

/// What ends a wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InForce {
    /// `lock_timeout`.
    Limit(Duration),
    /// Nothing: it would have waited as long as it took.
    Nothing,
    /// Nothing tells: a program's session.
    Unknown,
}

/// The traffic of one replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrafficFacts {
    /// When it began, since the replay began; negative is not possible: it begins after.
    pub started: Duration,
    /// Each window's operations, by their place in the header's list.
    pub windows: BTreeMap<Window, BTreeMap<usize, OperationFacts>>,
    /// Slices, in order of time, each with those operations that had requests due in it. Merged two and two where
    /// there would be more than some hundred.
    pub slices: Vec<Slice>,
    /// The slowest requests of each window, the slowest first.
    pub slowest: BTreeMap<Window, Vec<RequestFacts>>,
    /// What became of it; None when the recording was cut.
    pub summary: Option<TrafficSummary>,
}

/// An operation in a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperationFacts {
    /// How its requests ended.
    pub endings: Endings,
    /// Latencies of all of them, given up ones with the time until then.
    pub latency: Latency,
}

/// A distribution of latencies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// p50, p99 and the longest.
    pub quantiles: Quantiles,
    /// The 99.9th percentile.
    pub p999: Duration,
}

/// A stretch of time in the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// From, since the replay began.
    pub from: Duration,
    /// To.
    pub to: Duration,
    /// Operations by their place; those without a request due in it are not there.
    pub operations: BTreeMap<usize, OperationFacts>,
}

/// A slow request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFacts {
    /// The operation's place.
    pub operation: usize,
    /// The server process; None: it got no connection.
    pub pid: Option<i32>,
    /// When it was due, since the replay began.
    pub due: Duration,
    /// When it had its connection.
    pub acquired: Option<Duration>,
    /// How long it took from due to ended.
    pub latency: Duration,
    /// How it ended.
    pub ending: Ending,
}

/// A disturbance, as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisturbanceFacts {
    /// Its place in the header's list.
    pub disturbance: usize,
    /// When it was in place, since the replay began.
    pub began: Duration,
    /// When it was over; None: with the replay.
    pub ended: Option<Duration>,
    /// Its server processes.
    pub pids: Vec<i32>,
    /// Why it ended by itself.
    pub error: Option<String>,
}
