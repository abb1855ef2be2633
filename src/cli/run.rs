//! The arguments of `run`.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use super::common::{Cache, Faces, Place, Strictness};
use super::{Cadence, Warmth};

/// The arguments of `run`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_long_help = RUN_HELP)]
pub struct Run {
    /// A scenario's folder, a scenario.toml, a folder of .sql files, or .sql files in their order
    ///
    /// A folder with a scenario.toml is a scenario. In any other folder each .sql file is a step, in
    /// natural order (2_b.sql before 10_a.sql); undo files are left out and said so, folders below it
    /// are not looked at. Several folders or scenario files are as many scenarios, each with its own
    /// report, several .sql files the steps of one. All are read before any of them is run.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Which server.
    #[command(flatten)]
    pub place: Place,
    /// The PostgreSQL major to run on, such as 16 [default: the snapshot's]
    #[arg(
        long,
        env = "LOCKPROOF_PG",
        value_name = "MAJOR",
        help_heading = "Stage"
    )]
    pub pg: Option<u32>,
    /// A server setting, on top of the production-like ones; repeatable
    ///
    /// fsync=off is refused: a lock is held until its transaction's commit is flushed. In the
    /// environment variable, one setting a line.
    #[arg(
        long,
        env = "LOCKPROOF_SET",
        value_name = "NAME=VALUE",
        help_heading = "Stage"
    )]
    #[arg(value_delimiter = '\n', action = ArgAction::Append)]
    pub set: Vec<String>,
    /// The database's name, once more: yes, it may be run on although it looks like production
    ///
    /// Only for --stage postgres://…, which refuses a server that looks like production. The name has
    /// to be that of the URL's database.
    #[arg(
        long,
        env = "LOCKPROOF_CONFIRM_EXTERNAL",
        value_name = "DBNAME",
        help_heading = "Stage"
    )]
    pub confirm_external: Option<String>,
    /// Production's servers, which nothing confirms: hosts, addresses, networks, URLs, databases, clusters
    ///
    /// For --stage postgres://…, and for clones that a snapshot's own programs make. Each is compared in every
    /// spelling, with its addresses, its sockets and what the server says of itself; `*` is any text, and with a
    /// port (`db:5432`) that port alone is meant. Several are separated by commas. What is in the environment,
    /// best set once for everybody, and in `[stage] production` of a scenario counts as well.
    #[arg(
        long,
        env = "LOCKPROOF_PRODUCTION",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Stage"
    )]
    pub production: Vec<String>,
    /// Leave the stage running afterwards and say how to connect
    #[arg(long, env = "LOCKPROOF_KEEP", help_heading = "Stage", value_parser = BoolishValueParser::new())]
    pub keep: bool,
    /// The cache folder.
    #[command(flatten, next_help_heading = "Stage")]
    pub cache: Cache,

    /// What the stage starts from: a snapshot's name, its folder, or `empty`
    ///
    /// A name is looked for as snapshots/NAME in the scenario's folder, in each folder above it, then
    /// in the working directory. With a / in it, or a . at its start, it is a path. `empty` is an
    /// empty database: its holds prove nothing about real rows.
    #[arg(
        long,
        env = "LOCKPROOF_SNAPSHOT",
        value_name = "NAME|PATH|empty",
        help_heading = "Scenario"
    )]
    pub snapshot: Option<String>,
    /// The oldest that the snapshot may be, such as 30d; an older one is refused before it is restored
    ///
    /// Without a limit, one older than 30 days is warned of.
    #[arg(
        long,
        env = "LOCKPROOF_MAX_AGE",
        value_name = "AGE",
        help_heading = "Scenario"
    )]
    pub max_age: Option<String>,
    /// What of the data is in memory when each replay begins [default: as the snapshot says, else as-is]
    #[arg(
        long,
        env = "LOCKPROOF_WARMTH",
        value_name = "HOW",
        help_heading = "Scenario"
    )]
    #[arg(value_enum)]
    pub warmth: Option<Warmth>,
    /// Sets a variable of the scenario or of its snapshot; repeatable
    ///
    /// Replaces ${name} in the SQL and in the strings of scenario.toml. In the environment variable,
    /// one variable a line; a value with a line break belongs into scenario.toml.
    #[arg(
        long,
        env = "LOCKPROOF_VAR",
        hide_env_values = true,
        value_name = "NAME=VALUE",
        help_heading = "Scenario"
    )]
    #[arg(value_delimiter = '\n', action = ArgAction::Append)]
    pub var: Vec<String>,
    /// So many scenarios at once, each on a stage of its own: 1 to 64 [default: 1]
    ///
    /// They share the machine: beside a neighbour holds are longer and their bounds further apart. Each
    /// report says how many ran beside it. Results come in the order of the command line all the same.
    #[arg(
        short,
        long,
        env = "LOCKPROOF_JOBS",
        value_name = "N",
        help_heading = "Scenario"
    )]
    pub jobs: Option<u32>,

    /// What applications ask meanwhile: a traffic.toml, or pgbench scripts as FILE or FILE@WEIGHT; repeatable
    ///
    /// Runs beside the migration, from some seconds before its first step to some after its last one.
    /// Without it, the scenario's `traffic` or a traffic.toml in its folder. In the environment
    /// variable, one file a line.
    #[arg(
        long,
        env = "LOCKPROOF_TRAFFIC",
        value_name = "FILE",
        help_heading = "Traffic"
    )]
    #[arg(value_delimiter = '\n', action = ArgAction::Append)]
    pub traffic: Vec<String>,
    /// Without traffic, whatever the scenario has
    #[arg(long, env = "LOCKPROOF_NO_TRAFFIC", help_heading = "Traffic", value_parser = BoolishValueParser::new())]
    pub no_traffic: bool,
    /// Requests a second, whether earlier ones were answered or not [default: as the traffic says, else 100]
    #[arg(
        long,
        env = "LOCKPROOF_RATE",
        value_name = "N",
        help_heading = "Traffic"
    )]
    pub rate: Option<f64>,
    /// Another seed asks for other keys at other times [default: as the traffic says, else 42]
    #[arg(
        long,
        env = "LOCKPROOF_SEED",
        value_name = "N",
        help_heading = "Traffic"
    )]
    pub seed: Option<u64>,

    /// The longest hold of ACCESS EXCLUSIVE, such as 50ms [default: 50ms]
    ///
    /// Wins over the scenario's own; a step's own budget, with its reason, stays.
    #[arg(
        long,
        env = "LOCKPROOF_BUDGET",
        value_name = "DURATION",
        help_heading = "Judgement"
    )]
    pub budget: Option<String>,
    /// What fails besides.
    #[command(flatten)]
    pub strictness: Strictness,
    /// The longest time between two looks at the locks, 0.5ms to 1s [default: 2ms]
    #[arg(
        long,
        env = "LOCKPROOF_INTERVAL",
        value_name = "DURATION",
        help_heading = "Judgement"
    )]
    pub interval: Option<String>,
    /// Whether looks draw closer together while a budget is at stake
    #[arg(
        long,
        env = "LOCKPROOF_CADENCE",
        value_name = "HOW",
        help_heading = "Judgement"
    )]
    #[arg(value_enum, default_value_t)]
    pub cadence: Cadence,
    /// At most so many replays, each on a fresh copy, while a step is unproven: 1 to 20 [default: 3]
    #[arg(
        long,
        env = "LOCKPROOF_REPLAYS",
        value_name = "N",
        help_heading = "Judgement"
    )]
    pub replays: Option<u32>,
    /// Measure everything so many times, each on a fresh copy, and judge the worst: 1 to 1000 [default: 1]
    ///
    /// Shows how the holds are distributed. Each time, an unproven step is replayed up to --replays times.
    #[arg(
        long,
        env = "LOCKPROOF_REPEAT",
        value_name = "N",
        help_heading = "Judgement"
    )]
    pub repeat: Option<u32>,

    /// Where the report goes.
    #[command(flatten)]
    pub faces: Faces,
    /// Write the recording, for `lockproof judge`; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.jsonl. Several scenarios need
    /// either.
    #[arg(
        long,
        env = "LOCKPROOF_RECORD",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub record: Option<PathBuf>,
    /// Keep the literals of the SQL in reports and recordings; otherwise each becomes `?`
    #[arg(long, env = "LOCKPROOF_LITERALS", help_heading = "Output", value_parser = BoolishValueParser::new())]
    pub literals: bool,
}

const RUN_HELP: &str = "\
Examples:
  # A scenario, on whatever is at hand: a container, else local server binaries
  lockproof run scenarios/listings-published

  # Two files as the steps of one scenario, on the snapshot `listings`
  lockproof run --snapshot listings 01_add_column.sql 02_set_not_null.sql

  # A quarter of the rows, a tighter budget, and the recording for later
  lockproof run scenarios/listings-published --var rows=250000 --budget 20ms --record run.jsonl

  # The gate of a pipeline: the report to a file, warnings fail as well
  lockproof run db/migrations --snapshot snapshots/shop --strict --json lockproof.json

  # Two scenarios at once, a report of each: locks-listings-published.json and so on
  lockproof run scenarios/listings-* --jobs 2 --json 'locks-{scenario}.json'

What is typed wins over LOCKPROOF_… in the environment, that over scenario.toml, that over the
defaults.

Exit codes:
  0      every step within its budgets
  1      a budget was exceeded
  2      usage, or the description of the scenario, the snapshot or the traffic is invalid
  3      the stage could not be brought up, restored, or was lost
  4      a statement or a command of the migration failed
  5      unproven: what was seen neither proves nor refutes the budget (0 with --allow-unproven)
  6      a report could not be written
  70     a defect of lockproof
  128+n  ended by signal n, after cleaning up

Of several scenarios the worst counts, in this order: 70, 128+n, 2, 3, 6, 4, 1, 5, 0.";
