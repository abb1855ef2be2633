//! The report: names here are relied upon by scripts, so they change only with `schema_version`.

pub mod impact;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::judge::Verdict;
use crate::pg::LockMode;
use crate::plan::{Cadence, Level, ScenarioId, StepKind, Warmth};
use crate::recording::format::SnapshotFacts;
use crate::stage::{CloneMethod, Network, StageKind};

/// Version of the report's shape; a new key does not change it, a changed one does.
pub const SCHEMA_VERSION: &str = "1.0";
/// Identifies the schema.
pub const SCHEMA_ID: &str = "https://lockproof.dev/schema/report-1.json";

/// A report of one run. All durations are milliseconds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// The schema's identity.
    #[serde(rename = "$schema")]
    pub schema: String,
    /// Version of the report's shape.
    pub schema_version: String,
    /// What wrote it.
    pub tool: Tool,
    /// Which run.
    pub run: Run,
    /// What was replayed.
    pub scenario: ScenarioId,
    /// What the stage started from; null when it never came up.
    pub snapshot: Option<SnapshotFacts>,
    /// Where it ran; null when it never came up.
    pub stage: Option<Stage>,
    /// What was allowed.
    pub policy: Policy,
    /// The run's verdict: that of its worst step.
    pub verdict: Verdict,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What is to be said, in the order of the steps.
    pub findings: Vec<Finding>,
    /// Distribution of the upper bounds of all judged ACCESS EXCLUSIVE holds; null when there was none.
    pub hold_ms: Option<Distribution>,
    /// What ran beside the migration; null: nothing.
    pub traffic: Option<impact::Traffic>,
    /// Who was in the migration's way, as the scenario declares it.
    pub disturbances: Vec<impact::Disturbance>,
    /// How well it was watched; null when the recording was cut.
    pub sampling: Option<Sampling>,
    /// What one staging server cannot show, and oddities of this run.
    pub limits: Vec<String>,
}

/// What wrote the report.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Tool {
    /// Always `lockproof`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Which run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Run {
    /// Its identity.
    pub id: String,
    /// Start, UTC.
    pub started_at: String,
    /// End, UTC; null when the recording was cut.
    pub finished_at: Option<String>,
    /// Replays, each on a fresh clone unless the stage is external.
    pub replays: u32,
    /// How many times all of it was to be measured; the worst counts.
    pub repeat: u32,
    /// At most so many scenarios were to run at once in the same process, this one included.
    pub jobs: u32,
    /// At most so many others ran beside any step of this one: its holds may be shorter alone.
    pub neighbours: u32,
}

/// Where it ran.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Stage {
    /// Its kind.
    pub kind: StageKind,
    /// The container image; null unless it was a container.
    pub image: Option<String>,
    /// `server_version`.
    pub server_version: String,
    /// Settings that decide verdicts, as the migration's sessions have them.
    pub settings: BTreeMap<String, String>,
    /// How the data of a replay came to be beside the snapshot; null where they did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone: Option<Clone>,
    /// The role that the migration ran as; null: the superuser, or the one of an external URL.
    pub role: Option<String>,
    /// What of the data was in memory when each replay began; null: an external server's own, or a
    /// recording does not say.
    pub warmth: Option<Warmth>,
    /// What its server could reach; null: it was another's server, or a recording does not say.
    pub network: Option<Network>,
    /// How it was closed, or why it was open.
    pub network_by: Option<String>,
}

/// A clone of the snapshot.
#[derive(Debug, std::clone::Clone, Serialize, JsonSchema)]
pub struct Clone {
    /// `reflink`: blocks are shared until one side writes; `copy`: every byte is a copy; `hook`: a program that the
    /// snapshot names had it made.
    pub method: CloneMethod,
    /// How long that took: until all of it was on the disk, or until a hook's clone answered.
    pub took_ms: f64,
    /// Bytes that an earlier run's clone had already: they were compared, and not copied again.
    pub kept_bytes: u64,
}

/// What was allowed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Policy {
    /// Budgets of all steps.
    pub budgets: Vec<Budget>,
    /// Budgets of all steps for what applications feel.
    pub impact: impact::Impact,
}

/// How long one hold may last.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Budget {
    /// The mode.
    pub mode: LockMode,
    /// What is counted: always `hold`.
    pub counts: String,
    /// The longest that is allowed.
    pub limit_ms: f64,
    /// What breaking it does.
    pub level: Level,
    /// Why it is looser than the scenario's; null otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A step.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: StepKind,
    /// Its verdict.
    pub verdict: Verdict,
    /// Budgets of its own.
    pub budgets: Vec<Budget>,
    /// Its own budgets for what applications feel.
    pub impact: impact::Impact,
    /// When it began, from the start of the replay that decided it; null when it was not reached.
    pub started_ms: Option<f64>,
    /// How long it took; null when it did not end.
    pub elapsed_ms: Option<f64>,
    /// Attempts that `lock_timeout` made necessary, the first included.
    pub attempts: u32,
    /// Replays that ran it; the figures are those of the one that decided the verdict.
    pub replays: u32,
    /// At most so many other scenarios ran meanwhile.
    pub neighbours: u32,
    /// How it came out each time; null unless it was measured repeatedly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
    /// What ran.
    pub statements: Vec<Statement>,
    /// A backfill's course; null unless it is one.
    pub batches: Option<Batches>,
    /// A program's course; null unless it is one.
    pub command: Option<Command>,
    /// Holds on relations that were there before the step.
    pub holds: Vec<Hold>,
    /// Holds on relations that the step itself made: nobody else can see those.
    pub ignored_holds: u64,
    /// Holds of others, such as autovacuum; not charged to the step.
    pub foreign_holds: Vec<Hold>,
    /// Sessions that stood behind the migration.
    pub blocked: Vec<Blocked>,
    /// Who stood in its way, and behind it; null when it was not reached.
    pub queue: Option<impact::Queue>,
    /// How the traffic fared meanwhile, by operation; empty where none is run.
    pub traffic: Vec<impact::OperationTraffic>,
    /// No hold longer than this could have come and gone unseen.
    pub unseen_ms_max: f64,
    /// What was seen on tables.
    pub evidence: Evidence,
}

/// A step that was measured repeatedly.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Repeats {
    /// Its verdict each time, in order.
    pub verdicts: Vec<Verdict>,
    /// Lower bounds of each time's longest ACCESS EXCLUSIVE hold; null when there was none.
    pub at_least_ms: Option<Distribution>,
    /// Upper bounds of the same; a hold without one is left out.
    pub at_most_ms: Option<Distribution>,
}

/// A statement that lockproof sent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Statement {
    /// Its text; literals are `?` unless asked for.
    pub sql: String,
    /// From the step's start to its sending.
    pub started_ms: f64,
    /// Until the end of its reply; null when none came.
    pub elapsed_ms: Option<f64>,
    /// Rows by the command tag.
    pub rows: u64,
    /// The server's words; null when it went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A backfill's course.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Batches {
    /// Batches that touched rows.
    pub count: u64,
    /// Rows in all.
    pub rows: u64,
    /// Median time of the first tenth of the batches.
    pub early_ms: f64,
    /// Median time of the last tenth.
    pub late_ms: f64,
}

/// A program's course.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Command {
    /// What ran.
    pub argv: Vec<String>,
    /// What it could reach; null: a recording does not say.
    pub network: Option<Network>,
    /// How that was closed, or why it was open.
    pub network_by: Option<String>,
    /// Its exit status; null when a signal or the time-out ended it.
    pub exit_status: Option<i32>,
    /// Its last lines of output.
    pub output: Vec<String>,
    /// What it did to the stage; null in a report of an older recording.
    pub effects: Option<Effects>,
}

/// What a program did to the stage, as far as the server's own counters tell.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Effects {
    /// Whether a session of it came; null: nothing tells.
    pub came: Option<bool>,
    /// How many came; null where they could not be counted.
    pub sessions: Option<u64>,
    /// Relations that it changed, and committed.
    pub changed: Vec<Changed>,
    /// The system's own tables of which the same is true.
    pub catalogues: Vec<String>,
    /// Relations that were changed, and nothing tells by whom, or whether it was committed.
    pub unclear: Vec<String>,
    /// True where others may have written meanwhile.
    pub others: bool,
    /// Why the server did not tell; null where it did.
    pub unread: Option<String>,
}

/// A relation that was changed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Changed {
    /// Its name.
    pub relation: String,
    /// Rows that were changed and committed; null: it was made, dropped, altered or vacuumed, or they cannot be counted.
    pub rows: Option<u64>,
}

/// A time that was observed.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Span {
    /// It lasted at least this long.
    pub at_least: f64,
    /// It lasted at most this long; null: no upper bound was seen.
    pub at_most: Option<f64>,
}

/// A lock from granted to released.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Hold {
    /// The relation.
    pub relation: String,
    /// The table of an index or a TOAST relation; null for all others.
    pub parent: Option<String>,
    /// The mode.
    pub mode: LockMode,
    /// The server process; 0 for a prepared transaction.
    pub pid: i32,
    /// Granted → released.
    pub hold_ms: Span,
    /// Asked → granted.
    pub wait_ms: Span,
    /// When it was asked for, from the start of the replay; null: it was granted at once.
    pub asked_at_ms: Option<Span>,
    /// When it was granted: not before, and not after.
    pub granted_at_ms: Span,
    /// When it was released.
    pub released_at_ms: Span,
    /// The statement that took it, or those of which one did; null when nothing tells.
    pub granted_by: Option<String>,
    /// Statements that ran while it was still held, longest first.
    pub lengthened_by: Vec<String>,
    /// True when a budget applies to it.
    pub judged: bool,
}

/// A session that stood behind the migration.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Blocked {
    /// Its server process.
    pub pid: i32,
    /// What it ran; literals are `?` unless asked for.
    pub query: String,
    /// How long it waited.
    pub waited_ms: Span,
    /// The statement of the migration that it stood behind.
    pub behind: String,
}

/// What was seen on tables.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Evidence {
    /// Relations whose file was replaced.
    pub rewritten: Vec<String>,
    /// Tables that were read from end to end.
    pub scanned: Vec<Scan>,
}

/// A table that was read from end to end.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Scan {
    /// The table.
    pub relation: String,
    /// Sequential scans.
    pub scans: u64,
    /// Rows that they read.
    pub rows: u64,
    /// Blocks of the table that the step read or hit in all.
    pub blocks: u64,
}

/// Something to be said.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Finding {
    /// Which rule.
    pub rule: String,
    /// Whether it decides the verdict.
    pub level: Level,
    /// The step's name.
    pub step: String,
    /// The relation; null where it is not about one.
    pub relation: Option<String>,
    /// The mode; null where it is not about one.
    pub mode: Option<LockMode>,
    /// What was seen, in plain words.
    pub message: String,
    /// What to do; null where nothing general can be said.
    pub advice: Option<String>,
}

/// A distribution of times.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Shortest.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

/// Percentiles of a time.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

/// How well it was watched.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Sampling {
    /// The longest interval that was asked for.
    pub interval_ms: f64,
    /// `adaptive`: it was shortened while something was at stake; `fixed`: it was not.
    pub cadence: Cadence,
    /// Polls.
    pub samples: u64,
    /// From one poll's sending to the next one's answer.
    pub gap_ms: Quantiles,
    /// Of a poll.
    pub round_trip_ms: Quantiles,
    /// No hold longer than this could have come and gone unseen, in any step.
    pub blind_ms_max: f64,
    /// Polls whose result was lost to a full channel; each widened bounds like a missed one.
    pub dropped: u64,
}
