//! The recording's messages, one JSON object a line. Version 1.
//!
//! The first line is the [`Header`], each further line an [`Event`]. Moments are nanoseconds of one
//! monotonic clock since the run began, durations nanoseconds as well. Lock rows are written as changes: a row is `taken` in the
//! first sample that shows it and `gone` in the first that no longer does; the samples between are
//! known to have shown it. A reader must ignore keys that it does not know.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::effects::{Changed, Effects};
use super::traffic::{DisturbanceHeader, Request, Requests, TrafficHeader, TrafficSummary};
use crate::clock::Mono;
use crate::pg::LockMode;
use crate::plan::{Budget, Cadence, Impact, Literals, Policy, ScenarioId, StepKind, Warmth, Wrap};
use crate::sql::SetsLockTimeout;
use crate::stage::{Cloned, NetworkFacts, StageKind};

/// The version that this code writes; it reads no other.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`]; also how a recording is recognised.
    pub lockproof_recording: u32,
    /// Version of the lockproof that wrote it.
    pub tool_version: String,
    /// The run's identity.
    pub run_id: String,
    /// Wall-clock time of the run's start.
    pub started_at: jiff::Timestamp,
    /// What was replayed.
    pub scenario: ScenarioId,
    /// What was allowed.
    pub policy: Policy,
    /// The steps, in order.
    pub steps: Vec<StepHeader>,
    /// What ran beside them; None: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficHeader>,
    /// Who was in the way: events name them by their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbances: Vec<DisturbanceHeader>,
    /// The longest time between two samples that was asked for.
    #[serde(with = "crate::clock::nanos")]
    pub interval: Duration,
    /// Whether it was shortened while something was at stake.
    #[serde(default)]
    pub cadence: Cadence,
    /// Gaps between samples up to this length are not written one by one.
    #[serde(with = "crate::clock::nanos")]
    pub gap_floor: Duration,
    /// At most so many replays while a step is unproven.
    pub replays: u32,
    /// How many times all of it was to be measured.
    #[serde(default = "once")]
    pub repeat: u32,
    /// At most so many scenarios ran at once in the same process, this one included.
    #[serde(default = "once")]
    pub jobs: u32,
    /// Whether the texts below hold literals.
    pub literals: Literals,
    /// What was decided before the run and is worth knowing, such as why a stage was chosen.
    pub notes: Vec<String>,
}

impl Header {
    /// Whether somebody else was let loose on the server meanwhile: the traffic, or a disturbance.
    pub fn has_others(&self) -> bool {
        self.traffic.is_some() || !self.disturbances.is_empty()
    }
}

/// Recordings without the key were made of runs that measured once, or that ran alone.
fn once() -> u32 {
    1
}

/// A step, as far as judging it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepHeader {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: StepKind,
    /// Its own budgets.
    pub budgets: Vec<Budget>,
    /// Its own budgets of what applications feel.
    #[serde(default, skip_serializing_if = "Impact::is_none")]
    pub impact: Impact,
    /// The `lock_timeout` that its sessions begin with, in nanoseconds; 0: that of the server. None: a recording that
    /// does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_timeout_ns: Option<u64>,
    /// How its statements are put into transactions; None unless the kind is sql.
    pub wrap: Option<Wrap>,
    /// Whether each batch begins after the last one's key. None: not a batch, or a recording that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_key: Option<bool>,
    /// Whether the program may change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_do_nothing: bool,
}

/// A poll: when it was sent, and when its answer was here. What it shows was true in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Poll {
    /// The query left.
    pub sent: Mono,
    /// The answer was here.
    pub received: Mono,
}

/// Whether a lock is held or waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// The session has it.
    Granted,
    /// The session stands in the queue.
    Waiting,
}

/// A row of `pg_locks`, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LockRow {
    /// The server process; 0 for a prepared transaction, which has none.
    pub pid: i32,
    /// The transaction: `pg_locks.virtualtransaction`, backend and local number.
    pub vxid: (i64, u32),
    /// The relation; 0 when the lock is on something else, such as a transaction.
    pub relation: u32,
    /// The mode.
    pub mode: LockMode,
    /// Held or waited for.
    pub claim: Claim,
}

/// What kind of session a server process serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// The server process.
    pub pid: i32,
    /// `pg_stat_activity.backend_type`.
    pub backend_type: String,
    /// `pg_stat_activity.application_name`.
    pub application: String,
    /// The leader of a parallel worker; None for all others.
    pub leader: Option<i32>,
    /// What it runs, literals hidden unless asked for.
    pub query: String,
    /// Whether it is a session that lockproof itself opened; None: an older recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<bool>,
}

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementError {
    /// SQLSTATE; None when the connection itself broke.
    pub sqlstate: Option<String>,
    /// The server's or the driver's words.
    pub message: String,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// All of it ran.
    Done,
    /// It failed; the words say how.
    Failed {
        /// One line.
        message: String,
        /// Further lines: the place in the user's file, a program's last output.
        details: Vec<String>,
    },
}

/// A relation that a lock row named, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Its oid.
    pub oid: u32,
    /// Its name before the step, quoted where needed, with its schema unless that is `public`.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// The table of an index or of a TOAST relation; None for all others.
    pub parent: Option<String>,
    /// Whether it was there before the step began.
    pub origin: Origin,
}

/// Where a relation came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was there before the step.
    Existing,
    /// The step itself made it.
    New,
}

/// What a step did to a table, from the catalogue and the statistics around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The relation's name.
    pub relation: String,
    /// Its file was replaced: `pg_class.relfilenode` changed.
    pub rewritten: bool,
    /// Sequential scans of it, from `pg_stat_all_tables.seq_scan`.
    pub scans: u64,
    /// Rows that they read, from `pg_stat_all_tables.seq_tup_read`.
    pub rows_scanned: u64,
    /// Blocks of it that were read or hit, from `pg_statio_all_tables`.
    pub blocks: u64,
}

/// A table of the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TableFacts {
    /// Its name, with its schema unless that is `public`.
    pub name: String,
    /// Rows, as the planner's statistics have them; where it was never analyzed, counted if it is small. Null: not known.
    pub rows: Option<u64>,
    /// Bytes with indexes and TOAST.
    pub bytes: u64,
    /// Rows that are dead and not yet vacuumed, as the server counts them; null where nobody asked.
    #[serde(default)]
    pub dead_rows: Option<u64>,
    /// How much of the table is estimated to be empty or dead, in percent; null: never analyzed.
    #[serde(default)]
    pub bloat_percent: Option<u8>,
    /// When it was last analyzed, UTC; null: never, or the server's counters were lost with a crash.
    #[serde(default)]
    pub analyzed_at: Option<String>,
}

/// The snapshot that the stage starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SnapshotFacts {
    /// Its name.
    pub name: String,
    /// SHA-256 of its description, variables and sources, in hex; null where the server was taken as found.
    pub digest: Option<String>,
    /// When it was taken from production; null where nobody said.
    pub taken_at: Option<String>,
    /// Its age at the start of the run, in whole days; null where nobody said when it was taken.
    #[serde(default)]
    pub age_days: Option<i64>,
    /// True when it is so old that its verdicts may not be those of today's data.
    #[serde(default)]
    pub stale: bool,
    /// How the data came here; null where nothing was copied, or a recording does not say.
    #[serde(default)]
    pub copy: Option<CopyKind>,
    /// Tables that are not whole: holds on them prove nothing about production's size.
    #[serde(default)]
    pub partial: Vec<PartialTable>,
    /// What decides how the database compares and stores; null where a recording does not say.
    #[serde(default)]
    pub database: Option<Box<DatabaseFacts>>,
    /// What in it can reach out of its server, by kind and name; empty where a recording does not say.
    #[serde(default)]
    pub reaches: Vec<Reach>,
    /// Its tables, by name.
    pub tables: Vec<TableFacts>,
}

/// Something in the database that can reach out of its server.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Reach {
    /// `extension`, `foreign_data_wrapper`, `foreign_server`, `foreign_table`, `function`, `language`, `library`,
    /// `login_trigger` or `subscription`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it leads, or what makes it reach out, without any secret; null where the name says it all.
    pub detail: Option<String>,
}

/// How data came to the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CopyKind {
    /// Production's own files, with their bloat and statistics.
    Physical,
    /// Written anew: without production's bloat, and with statistics of its own.
    Logical,
}

/// A table that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PartialTable {
    /// Its name.
    pub table: String,
    /// Which of its rows are there, literals hidden unless asked for; null: none.
    pub rows: Option<String>,
}

/// What decides how a database compares and stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DatabaseFacts {
    /// Its encoding.
    pub encoding: String,
    /// True when the server checks its pages.
    pub data_checksums: bool,
    /// The time zone that the migration's sessions have.
    pub time_zone: String,
    /// The database's own collation, called `default`, then each whose version is not the recorded one.
    pub collations: Vec<CollationFacts>,
    /// Its extensions, by name.
    pub extensions: Vec<ExtensionFacts>,
}

/// A collation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CollationFacts {
    /// Its name; `default` is the database's own.
    pub name: String,
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    /// Its locale.
    pub locale: Option<String>,
    /// The version that its indexes were built under; null where the server records none.
    pub recorded_version: Option<String>,
    /// The version that the server has now; null where it does not tell.
    pub actual_version: Option<String>,
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExtensionFacts {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Percentiles of a time, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    #[serde(with = "crate::clock::nanos")]
    pub p50: Duration,
    /// 99th percentile.
    #[serde(with = "crate::clock::nanos")]
    pub p99: Duration,
    /// Longest.
    #[serde(with = "crate::clock::nanos")]
    pub max: Duration,
}

/// A line after the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The stage answers queries.
    Stage {
        /// Its kind.
        kind: StageKind,
        /// The container image; None unless it is a container.
        image: Option<String>,
        /// `server_version`.
        server_version: String,
        /// Settings that decide verdicts, by name, as the migration's sessions have them.
        settings: std::collections::BTreeMap<String, String>,
        /// The role that the migration ran as; None: the superuser, or the one of an external URL.
        #[serde(default)]
        role: Option<String>,
        /// What of the data was in memory when each replay began; None: an external server's own.
        #[serde(default)]
        warmth: Option<Warmth>,
        /// What it started from.
        snapshot: SnapshotFacts,
        /// How the first replay's data were cloned; None: they were not, or nobody said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cloned: Option<Cloned>,
        /// What its server may reach; None: another's server, or an older recording.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<NetworkFacts>,
        /// Oddities worth a line in the report.
        notes: Vec<String>,
    },
    /// A replay of all steps begins, on a fresh clone unless the stage is external.
    ReplayStarted {
        /// From 1.
        replay: u32,
        /// Which measurement it belongs to, from 1: an unproven one is replayed.
        #[serde(default = "once")]
        repeat: u32,
        /// When.
        at: Mono,
    },
    /// A step begins.
    StepStarted {
        /// Its place in the header's list.
        step: usize,
        /// When.
        at: Mono,
    },
    /// A session that lockproof itself drives is about to run the step's statements.
    SessionOpened {
        /// Its server process.
        pid: i32,
    },
    /// A statement was sent.
    StatementSent {
        /// Its place in the step, from 0; a batch repeats 0.
        index: usize,
        /// The session.
        pid: i32,
        /// When, read before the first byte left.
        at: Mono,
        /// Its text; None when it was told already: that of a statement with this index.
        sql: Option<String>,
        /// True for VACUUM, whose session-level lock outlives its transactions.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        vacuum: bool,
        /// What it does to `lock_timeout`, told with its text; None: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lock_timeout: Option<SetsLockTimeout>,
    },
    /// The reply to it was read to its end.
    StatementDone {
        /// The session.
        pid: i32,
        /// When, read after the last byte came.
        at: Mono,
        /// Rows by the command tag.
        rows: u64,
        /// True when a transaction is open now, so that its locks are still held.
        in_transaction: bool,
        /// None when it went well.
        error: Option<StatementError>,
    },
    /// A batch of a backfill is done.
    Batch {
        /// From 1.
        number: u64,
        /// Rows that it touched.
        rows: u64,
    },
    /// The step, or its transaction, is tried again after `lock_timeout`.
    Retry {
        /// The attempt that follows, from 2.
        attempt: u32,
        /// When.
        at: Mono,
        /// How long was rested before it, in nanoseconds.
        #[serde(default)]
        rested_ns: u64,
    },
    /// A program was started.
    CommandStarted {
        /// What runs, as typed.
        argv: Vec<String>,
        /// When.
        at: Mono,
        /// What it may reach; None: an older recording.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<NetworkFacts>,
    },
    /// Clients that are not the migration's were on an external server during the step that is open.
    ForeignClients {
        /// How many at once, at the most.
        most: u64,
        /// Their `application_name`s, sorted, each once.
        applications: Vec<String>,
    },
    /// It ended, and so have its sessions, as far as could be waited for.
    CommandExited {
        /// When.
        at: Mono,
        /// Its exit status; None when a signal or the time-out ended it.
        status: Option<i32>,
        /// Its last lines of output.
        output: Vec<String>,
    },
    /// What the program did to the stage; told before the step's end.
    CommandDid(Effects),
    /// A step ended.
    StepFinished {
        /// Its place in the header's list.
        step: usize,
        /// When.
        at: Mono,
        /// Attempts that it took; where each statement or batch has its own, the most of any.
        attempts: u32,
        /// At most so many other scenarios of the same process ran meanwhile.
        #[serde(default)]
        neighbours: u32,
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// Lock rows changed between two polls.
    Locks {
        /// The last poll that did not show the change; None: this is the first.
        before: Option<Poll>,
        /// The first that does.
        poll: Poll,
        /// Rows that are new.
        taken: Vec<LockRow>,
        /// Rows that are no more.
        gone: Vec<LockRow>,
    },
    /// Polls went on; written now and then so that a cut recording still tells how it was watched.
    Samples {
        /// How many since the last such line.
        count: u64,
        /// The longest time from one poll's sending to the next one's answer among them.
        #[serde(with = "crate::clock::nanos")]
        longest_gap: Duration,
        /// The last of them.
        last: Poll,
    },
    /// A gap longer than the header's floor: nothing was seen from `from` to `to`.
    Gap {
        /// Sending of the last poll before it.
        from: Mono,
        /// Answer of the first after it.
        to: Mono,
    },
    /// Who a server process is; again when it changes its query in a way that matters.
    Backend {
        /// When this was seen.
        at: Mono,
        /// Who.
        #[serde(flatten)]
        backend: Backend,
    },
    /// A session waits; `behind` are those that it waits for by `pg_blocking_pids`.
    Waiter {
        /// When this was seen.
        at: Mono,
        /// Who waits.
        pid: i32,
        /// For whom.
        behind: Vec<i32>,
        /// When the answer was here: it was so at some moment between. None: a recording that does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Mono>,
    },
    /// Names for what the step's lock rows mentioned.
    Relations {
        /// Its place in the header's list.
        step: usize,
        /// Sorted by oid.
        relations: Vec<Relation>,
    },
    /// What the step did to tables.
    Traces {
        /// Its place in the header's list.
        step: usize,
        /// Sorted by name.
        traces: Vec<Trace>,
    },
    /// Sampling ended.
    Sampling {
        /// Polls.
        samples: u64,
        /// Polls whose result found the channel full; each widened bounds like a missed one.
        dropped: u64,
        /// From one poll's sending to the next one's answer.
        gap: Quantiles,
        /// Of a poll.
        round_trip: Quantiles,
        /// None unless it ended because its connection broke.
        error: Option<String>,
    },
    /// Traffic begins; the first slice with it.
    TrafficStarted {
        /// When.
        at: Mono,
    },
    /// Requests of it ended.
    Requests(Requests),
    /// One of the slowest requests of a window.
    Request(Request),
    /// Traffic ended.
    TrafficEnded {
        /// When.
        at: Mono,
        /// What became of it.
        #[serde(flatten)]
        summary: TrafficSummary,
    },
    /// A disturbance is in place.
    DisturbanceBegan {
        /// Its place in the header's list.
        disturbance: usize,
        /// When.
        at: Mono,
        /// Its server processes, as far as they are known by then.
        pids: Vec<i32>,
    },
    /// A disturbance is over.
    DisturbanceEnded {
        /// Its place in the header's list.
        disturbance: usize,
        /// When.
        at: Mono,
        /// Why it ended by itself; None when it was ended, or had done all that it does.
        error: Option<String>,
    },
    /// The stage is gone or was given up.
    StageLost {
        /// Why.
        message: String,
    },
    /// The last line of a whole recording.
    RunFinished {
        /// Wall-clock time.
        finished_at: jiff::Timestamp,
    },
}
