//! What a recording says of traffic and of disturbances. Part of the recording's format.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::Quantiles;
use crate::clock::Mono;
use crate::plan::{Begins, Front, Load};

/// Traffic, as far as reading the recording needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficHeader {
    /// The operations' names and weights, in order: events name them by their place.
    pub operations: Vec<(String, f64)>,
    /// How often.
    pub load: Load,
    /// The application in front.
    pub front: Front,
    /// Before the first step.
    #[serde(with = "crate::clock::nanos")]
    pub baseline: Duration,
    /// After the last.
    #[serde(with = "crate::clock::nanos")]
    pub settle: Duration,
    /// What the keys were drawn from.
    pub seed: u64,
    /// The length of a slice.
    #[serde(with = "crate::clock::nanos")]
    pub slice: Duration,
}

/// A disturbance, as far as reading the recording needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DisturbanceHeader {
    /// Its name.
    pub name: String,
    /// What it does: `long-reader` and so on.
    pub kind: String,
    /// When it begins.
    pub begins: Begins,
}

/// The part of a replay that a request is counted to: the step under way when it was due; if there was none, the first
/// step that began before it ended; else the quiet stretch that it was due in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Before the first step.
    Baseline,
    /// A step, by its place in the header's list.
    Step(usize),
    /// Between two steps.
    Between,
    /// After the last step.
    Settle,
}

/// How a request ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Answered.
    Ok,
    /// Answered, but late.
    Slow,
    /// Given up before it was answered: the 504.
    TimedOut,
    /// It got no connection: the 502.
    Refused,
    /// The server refused it.
    Failed,
    /// It was the victim of a deadlock (SQLSTATE 40P01).
    Deadlocked,
}

impl Ending {
    /// True for a request that got no answer, or an error for one.
    pub fn is_lost(self) -> bool {
        match self {
            Self::Ok | Self::Slow => false,
            Self::TimedOut | Self::Refused | Self::Failed | Self::Deadlocked => true,
        }
    }
}

/// How many of these got no answer, or an error for one.
pub fn lost(counts: &BTreeMap<Ending, u64>) -> u64 {
    let lost = counts.iter().filter(|(ending, _)| ending.is_lost());
    lost.map(|(_, count)| *count).fold(0, u64::saturating_add)
}

/// How requests ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endings {
    /// How many ended so; an ending that is not there did not occur.
    pub counts: BTreeMap<Ending, u64>,
    /// Of those that failed, how many with which SQLSTATE; `connection` where the connection broke.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
}

/// Requests that ended since the last such line, of one operation, due in one slice and counted to one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// The window.
    pub window: Window,
    /// The slice in which they were due: so many slices after the traffic began.
    pub slice: u64,
    /// The operation, by its place in the header's list.
    pub operation: usize,
    /// How they ended.
    #[serde(flatten)]
    pub endings: Endings,
    /// Latency from due to ended, whatever the ending: microseconds rounded up to two significant digits, and how many.
    pub latencies: Vec<(u64, u64)>,
}

/// One of the slowest requests of a window; at most twenty a window are told, at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The window.
    pub window: Window,
    /// The operation.
    pub operation: usize,
    /// The server process that it ran in; None: it got no connection.
    pub pid: Option<i32>,
    /// When it was to be made.
    pub due: Mono,
    /// When it had its connection; None: it got none.
    pub acquired: Option<Mono>,
    /// When it ended.
    pub ended: Mono,
    /// How.
    pub ending: Ending,
}

/// What became of the traffic of a replay as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficSummary {
    /// Requests that were due.
    pub due: u64,
    /// Requests that were begun, in time or late: fewer were due but had not their turn when the traffic ended.
    pub begun: u64,
    /// From due to begun by the generator, which is its own fault: a late one is no fault of the server.
    pub lateness: Quantiles,
    /// From begun to a connection, of requests due before the first step: where it is long, the server or the pool
    /// cannot hold the rate even without a migration.
    #[serde(default)]
    pub baseline_wait: Quantiles,
    /// Processor time of the generator's threads.
    #[serde(with = "crate::clock::nanos")]
    pub cpu: Duration,
    /// How long it ran.
    #[serde(with = "crate::clock::nanos")]
    pub ran: Duration,
    /// Why it ended early; None when it did not.
    pub error: Option<String>,
}
