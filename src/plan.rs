//! The validated description of a run: every decision taken, every unit typed. No I/O.

pub mod disturbance;
pub mod impact;
pub mod traffic;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pg::LockMode;
use crate::sql::Statement;
use crate::stage::external::Taken;
use crate::stage::hooked::Hooks;
use crate::stage::{Endpoint, Network};

pub use self::disturbance::{Begins, Disturbance, DisturbanceKind, Wants, Wrote};
pub use self::impact::{Impact, Increase};
pub use self::traffic::{Arrivals, Front, Load, Traffic};

/// The budget of ACCESS EXCLUSIVE unless the scenario sets another.
pub const DEFAULT_BUDGET: Duration = Duration::from_millis(50);
/// How often the sampler looks unless told otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(2);
/// How many replays, each on a fresh clone, a step gets before it is said to be unproven.
pub const DEFAULT_REPLAYS: u32 = 3;

/// A run, decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which scenario this is.
    pub scenario: ScenarioId,
    /// What the stage starts from.
    pub snapshot: SnapshotChoice,
    /// What is replayed, in order.
    pub steps: Vec<Step>,
    /// What runs beside them; None: nothing.
    pub traffic: Option<Traffic>,
    /// Who is in the way, in the order of the scenario.
    pub disturbances: Vec<Disturbance>,
    /// What is allowed.
    pub policy: Policy,
    /// Where it runs.
    pub stage: StagePlan,
    /// The longest time between two samples.
    pub interval: Duration,
    /// Whether it is shortened while something is at stake.
    pub cadence: Cadence,
    /// At most so many replays while a step is unproven.
    pub replays: u32,
    /// How many times all of it is measured; the worst counts.
    pub repeat: u32,
    /// What of the data is in memory when a replay begins; None: what the snapshot says.
    pub warmth: Option<Warmth>,
    /// The oldest that the snapshot may be; None: what the snapshot says.
    pub max_age: Option<Duration>,
    /// Whether literals of the SQL may reach reports and recordings.
    pub literals: Literals,
}

/// Whether samples draw closer together while a verdict hangs on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// They do.
    Adaptive,
    /// One interval, always.
    #[default]
    Fixed,
}

/// What of the data is in memory when a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Warmth {
    /// All that fits: everything was read once.
    Warm,
    /// Nothing: neither the server nor the kernel has a page of it.
    Cold,
    /// Whatever a fresh copy leaves behind: as a rule in the kernel's memory, not in the server's.
    #[default]
    AsIs,
}

impl Warmth {
    /// `warm`, `cold` or `as-is`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::AsIs => "as-is",
        }
    }
}

/// A scenario's name and the digest of everything that it consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioId {
    /// Its name.
    pub name: String,
    /// SHA-256 over its name, steps, variables and budgets, in hex.
    pub digest: String,
}

/// What the stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotChoice {
    /// The snapshot described by the manifest in this folder, with these variables set.
    Folder {
        /// The folder of `snapshot.toml`.
        folder: PathBuf,
        /// Values for the snapshot's own variables.
        variables: BTreeMap<String, String>,
    },
    /// An empty database, asked for by name: holds then prove nothing about real rows.
    Empty,
    /// Whatever the external server holds.
    AsFound,
}

/// Where the run takes place and how the server is set up.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// Which kind of stage.
    pub choice: StageChoice,
    /// The container image; None: derived from the snapshot's major version.
    pub image: Option<String>,
    /// A folder of server binaries to use; None: searched for.
    pub pg_bin: Option<PathBuf>,
    /// The PostgreSQL major asked for; None: the snapshot's, or whatever is at hand.
    pub pg_major: Option<u32>,
    /// Server settings: the production-like defaults, with those that were asked for on top. Empty
    /// for an external server.
    pub settings: BTreeMap<String, String>,
    /// Processors a container may use; None: all.
    pub cpus: Option<f64>,
    /// Bytes of memory a container may use; None: all.
    pub memory_bytes: Option<u64>,
    /// Bytes of shared memory of a container; None: the stage's default.
    pub shm_bytes: Option<u64>,
    /// Where restored snapshots are kept.
    pub cache: PathBuf,
    /// What the server may reach, and programs of steps that do not say it themselves.
    pub network: Network,
    /// Leave the stage running afterwards.
    pub keep: Keep,
}

/// Which kind of stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageChoice {
    /// A container where an engine and an image are at hand, else local binaries.
    Auto,
    /// A container.
    Docker,
    /// Server binaries of this machine.
    Local,
    /// Clones that programs of the user's make, one for each replay.
    Hooks {
        /// The programs.
        hooks: Hooks,
        /// The folder of the snapshot's description.
        folder: PathBuf,
        /// Names of production's hosts, databases and clusters: no clone has one of them.
        production: Vec<String>,
    },
    /// A server that somebody else runs.
    External {
        /// How to reach it.
        endpoint: Endpoint,
        /// The database's name, repeated to confirm that it is no production server.
        confirmation: Option<String>,
        /// Names of production's hosts, databases and clusters, which nothing confirms; `*` is any
        /// text.
        production: Vec<String>,
        /// What the scenario's snapshot says of the server that it was taken from; None: nothing.
        taken: Option<Taken>,
    },
}

impl StageChoice {
    /// True where somebody else runs the server and sets it up.
    pub fn is_somebody_else_s(&self) -> bool {
        matches!(self, Self::Hooks { .. } | Self::External { .. })
    }
}

/// What becomes of the stage after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is removed.
    Remove,
    /// It is left running and the run says how to connect.
    LeaveRunning,
}

/// Whether literals may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literals {
    /// Replaced by `?` before anything is stored.
    Hidden,
    /// Kept, because the user asked for it.
    Shown,
}

/// One unit with its own budget.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique within the scenario.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// Budgets of its own, on top of the scenario's.
    pub budgets: Vec<Budget>,
    /// Budgets of its own for what applications feel; the scenario's where it has none.
    pub impact: Impact,
    /// `lock_timeout` set at the start of the step's session.
    pub lock_timeout: Option<Duration>,
    /// `statement_timeout` set at the start of the step's session.
    pub statement_timeout: Option<Duration>,
    /// The whole step is ended after this time.
    pub timeout: Option<Duration>,
    /// What happens when `lock_timeout` strikes.
    pub retry: Retry,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Work {
    /// Statements of the user, exactly as written.
    Sql(SqlWork),
    /// A statement repeated until it touches no row.
    Batch(BatchWork),
    /// An external program.
    Command(CommandWork),
}

impl Work {
    /// The kind's name in reports.
    pub fn kind(&self) -> StepKind {
        match self {
            Self::Sql(_) => StepKind::Sql,
            Self::Batch(_) => StepKind::Batch,
            Self::Command(_) => StepKind::Command,
        }
    }
}

/// A step's kind, as reports have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Statements.
    Sql,
    /// A backfill.
    Batch,
    /// A program.
    Command,
}

impl StepKind {
    /// `sql`, `batch` or `command`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Batch => "batch",
            Self::Command => "command",
        }
    }
}

/// The user's SQL, split.
#[derive(Debug, Clone)]
pub struct SqlWork {
    /// Where it came from, for messages; None: written in the TOML.
    pub file: Option<PathBuf>,
    /// The whole text, variables put in.
    pub text: String,
    /// Its statements; their spans point into `text`.
    pub statements: Vec<Statement>,
    /// How they are put into transactions.
    pub wrap: Wrap,
}

/// How statements are put into transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wrap {
    /// All in one, as most migration tools do.
    Transaction,
    /// Each statement by itself, as `psql -f` does.
    Autocommit,
    /// The text has its own BEGIN and COMMIT.
    AsWritten,
}

/// A backfill.
#[derive(Debug, Clone)]
pub struct BatchWork {
    /// Where it came from, for messages; None: written in the TOML.
    pub file: Option<PathBuf>,
    /// The statement; holds `${batch_size}` and, for a keyset, `${after}`.
    pub template: String,
    /// Rows a batch.
    pub batch_size: u64,
    /// Rest between two batches.
    pub sleep: Duration,
    /// The key to start after; None: the batch ends when the statement touches no row.
    pub after: Option<String>,
    /// Give up after so many batches; None: no limit.
    pub max_batches: Option<u64>,
}

/// An external program.
#[derive(Debug, Clone)]
pub struct CommandWork {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Variables on top of the stage's `DATABASE_URL` and `PG*`.
    pub environment: BTreeMap<String, String>,
    /// What it may reach.
    pub network: Network,
    /// Whether it may find nothing to change.
    pub may_do_nothing: bool,
}

/// What happens when `lock_timeout` strikes (SQLSTATE 55P03).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Rest before the second attempt; doubles with each further one.
    pub backoff: Duration,
    /// No rest is longer, but for its jitter.
    pub max_backoff: Duration,
    /// By up to this share each rest is made shorter or longer at random, from 0 to 1: several that were turned away
    /// at once do not all come back at once.
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 1,
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(60),
            jitter: 0.0,
        }
    }
}

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// For every step that has none of its own for the mode.
    pub budgets: Vec<Budget>,
    /// What applications may feel of a step that has no such budget of its own.
    #[serde(default)]
    pub impact: Impact,
    /// What an unproven step does to the exit code.
    pub on_unproven: OnUnproven,
    /// What a warning does to the verdict.
    pub on_warning: OnWarning,
}

impl Default for Policy {
    fn default() -> Self {
        let warn = |mode| Budget {
            mode,
            limit: DEFAULT_BUDGET,
            level: Level::Warn,
            reason: None,
        };
        Self {
            budgets: vec![
                Budget {
                    mode: LockMode::AccessExclusiveLock,
                    limit: DEFAULT_BUDGET,
                    level: Level::Fail,
                    reason: None,
                },
                warn(LockMode::ExclusiveLock),
                warn(LockMode::ShareRowExclusiveLock),
                warn(LockMode::ShareLock),
            ],
            impact: Impact::default(),
            on_unproven: OnUnproven::Fail,
            on_warning: OnWarning::Report,
        }
    }
}

impl Policy {
    /// The budget for `mode` in a step with these budgets of its own.
    pub fn budget_for<'a>(&'a self, mode: LockMode, own: &'a [Budget]) -> Option<&'a Budget> {
        own.iter()
            .chain(&self.budgets)
            .find(|budget| budget.mode == mode)
    }

    /// True when breaking the budget of `mode` in a step with these budgets of its own fails it.
    pub fn fails(&self, mode: LockMode, own: &[Budget]) -> bool {
        self.budget_for(mode, own)
            .is_some_and(|budget| budget.level == Level::Fail || self.on_warning == OnWarning::Fail)
    }

    /// Sets the scenario-wide budget of a mode.
    pub fn set(&mut self, budget: Budget) {
        match self.budgets.iter_mut().find(|b| b.mode == budget.mode) {
            Some(present) => *present = budget,
            None => self.budgets.push(budget),
        }
    }
}

/// How long one hold of a mode may last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The mode it limits.
    pub mode: LockMode,
    /// The longest hold that is allowed.
    #[serde(with = "crate::clock::nanos")]
    pub limit: Duration,
    /// What breaking it does.
    pub level: Level,
    /// Why it is looser than the scenario's; mandatory then.
    pub reason: Option<String>,
}

/// What breaking a budget does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The step's verdict is `exceeded`.
    Fail,
    /// A finding, no more.
    Warn,
}

/// What an unproven step does to the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnproven {
    /// A gate fails closed: exit code 5.
    Fail,
    /// Exit code 0, because the user said so.
    Allow,
}

/// What a warning does to the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnWarning {
    /// It is reported.
    Report,
    /// It fails the step like any other budget.
    Fail,
}
