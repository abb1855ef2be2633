//! What applications felt, as the report has it. All durations and moments are milliseconds; moments count from the
//! start of the replay that decided the step.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Quantiles, Span};
use crate::pg::LockMode;
use crate::plan::{Begins, Front, Increase, Load};
use crate::recording::traffic::Ending;

/// Budgets of what applications feel; null: none.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Impact {
    /// ACCESS EXCLUSIVE from asked to released.
    pub exclusion_ms: Option<f64>,
    /// Requests, or sessions where no traffic is run, that waited behind the migration.
    pub blocked_requests: Option<u64>,
    /// The longest of those waits.
    pub victim_wait_ms: Option<f64>,
    /// How much the 99th percentile of any operation may grow over the baseline.
    pub p99_increase: Option<Increase>,
    /// Requests that timed out or were refused.
    pub timeouts: Option<u64>,
}

/// Who stood in the migration's way, and behind it.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Queue {
    /// Each wait of the migration for a lock, in order of time; of very many the thousand longest.
    pub waits: Vec<Wait>,
    /// Each ACCESS EXCLUSIVE from asked to released or given up, in order of time; of very many the thousand longest.
    pub exclusions: Vec<Exclusion>,
    /// All exclusions of the step together, where they overlap counted once.
    pub exclusion_ms: Option<Span>,
    /// The most sessions that stood behind the migration at once.
    pub deepest: u64,
    /// How many stood behind it, as it changed: moment and number.
    pub depth: Vec<(f64, u64)>,
    /// Who waited longest behind the migration; null: nobody.
    pub victim: Option<Victim>,
    /// How long the longest of all waits behind the migration was, whoever's it was; null: there was none.
    pub longest_ms: Option<Span>,
    /// Waits behind the migration that were seen; one shorter than the time between two samples may not be among them.
    pub blocked: u64,
    /// Those of them that surely stood behind it: by the server's own word, or because it held the very lock.
    pub surely_blocked: u64,
    /// For how long there was a relation on which no newcomer's request could finish: the exclusions, whole, behind which
    /// somebody was seen to wait, together.
    pub downtime_ms: Option<Span>,
    /// What would have ended the waits of those statements that asked for a lock that stops writes, or reads as well.
    pub lock_timeouts: Vec<LockTimeout>,
    /// Rests between attempts, together.
    pub rested_ms: f64,
    /// Nobody can have waited behind the migration for longer than this unseen.
    pub unseen_ms_max: f64,
}

/// What would have ended a statement's wait for a lock.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LockTimeout {
    /// The statement.
    pub statement: String,
    /// The strongest mode that it asked for.
    pub mode: LockMode,
    /// What applied to it.
    pub in_force: InForce,
    /// The `lock_timeout`; null unless it was a limit.
    pub limit_ms: Option<f64>,
}

/// What ends a wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InForce {
    /// A `lock_timeout`.
    Limit,
    /// Nothing: it would have waited as long as it took.
    Nothing,
    /// Nothing tells: a program's session, or a recording that does not say.
    Unknown,
}

/// A wait of the migration for a lock.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Wait {
    /// The relation; null: the wait was for something else, such as the end of a transaction.
    pub relation: Option<String>,
    /// The mode.
    pub mode: LockMode,
    /// The session.
    pub pid: i32,
    /// When it asked.
    pub asked_ms: Span,
    /// How long it waited.
    pub waited_ms: Span,
    /// True when the lock was granted; false when the wait was given up, or, in a program's session, may have been.
    pub granted: bool,
    /// The statement that waited.
    pub statement: String,
    /// What it stood behind.
    pub behind: Vec<Stander>,
}

/// A session in a chain of waits.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Stander {
    /// Its server process.
    pub pid: i32,
    /// Who it is.
    pub who: String,
    /// What it runs or ran last.
    pub query: String,
}

/// An ACCESS EXCLUSIVE of the migration on one relation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Exclusion {
    /// The relation.
    pub relation: String,
    /// The session.
    pub pid: i32,
    /// When it asked.
    pub asked_ms: Span,
    /// Asked → released or given up.
    pub lasted_ms: Span,
    /// True when the lock was granted.
    pub granted: bool,
    /// Sessions that were seen to wait behind it.
    pub blocked: u64,
}

/// Who waited longest behind the migration.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Victim {
    /// The session.
    pub session: Stander,
    /// How long it waited.
    pub waited_ms: Span,
    /// What it stood behind, the root of it all last.
    pub chain: Vec<Stander>,
}

/// What ran beside the migration, in the replay whose steps decided; of several, the last.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Traffic {
    /// Operations and their weights, in order.
    pub operations: Vec<Operation>,
    /// How often requests were made.
    pub load: Load,
    /// The application in front.
    pub front: Front,
    /// What keys were drawn from.
    pub seed: u64,
    /// What is usual: before the first step.
    pub baseline: Vec<OperationTraffic>,
    /// After the last step.
    pub settle: Vec<OperationTraffic>,
    /// Slices of time, in order.
    pub slices: Vec<Slice>,
    /// Requests that were due; null when the recording was cut.
    pub due: Option<u64>,
    /// Those of them that were begun.
    pub begun: Option<u64>,
    /// Requests begun a second, while it ran.
    pub rate: Option<f64>,
    /// From due to begun: the generator's own lateness.
    pub lateness_ms: Option<Quantiles>,
    /// Processors that the generator used.
    pub cpus: Option<f64>,
}

/// An operation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: f64,
}

/// How an operation's requests fared in a window.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct OperationTraffic {
    /// The operation.
    pub operation: String,
    /// Requests.
    pub requests: u64,
    /// How they ended; an ending that is not there did not occur.
    pub endings: BTreeMap<Ending, u64>,
    /// Of those that failed, how many with which SQLSTATE.
    pub failures: BTreeMap<String, u64>,
    /// From due to ended; null: there was no request.
    pub latency_ms: Option<Latency>,
    /// The same less the baseline's; null in the baseline itself, and where one of them has no request.
    pub change_ms: Option<Latency>,
}

/// A distribution of latencies.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Longest.
    pub max: f64,
}

/// A slice of time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Slice {
    /// From.
    pub from_ms: f64,
    /// To.
    pub to_ms: f64,
    /// The operations' requests that were due in it, in the order of the operations; null where there was none.
    pub operations: Vec<Option<SliceTraffic>>,
}

/// An operation in a slice.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct SliceTraffic {
    /// Requests due.
    pub requests: u64,
    /// Those that timed out, were refused or failed.
    pub lost: u64,
    /// Median latency.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

/// Somebody who was in the way.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Disturbance {
    /// Its name.
    pub name: String,
    /// What it did.
    pub kind: String,
    /// When it was to begin.
    pub begins: Begins,
    /// When it was in place; null: never.
    pub began_ms: Option<f64>,
    /// When it was over; null: with the replay.
    pub ended_ms: Option<f64>,
    /// Why it ended by itself; null when it was ended, or had done all that it does.
    pub error: Option<String>,
}
