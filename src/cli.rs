//! The command line: arguments exactly as typed.
//!
//! Touches nothing and decides nothing: units, names and contradictions are `config`'s to read. Every
//! option has an environment variable; what is typed wins over it, and both win over the scenario.

mod cached;
mod common;
mod compare;
mod snapshot;

use std::convert::Infallible;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use self::cached::{SnapshotInspect, SnapshotLs, SnapshotPrune, SnapshotRm};
pub use self::common::{Cache, Place, Strictness};
pub use self::compare::Compare;
pub use self::snapshot::{SnapshotCommand, SnapshotCreate};
use crate::stage::Secret;

/// Proves how long each step of a schema migration holds its locks
///
/// lockproof brings up a PostgreSQL server filled from a production snapshot, replays a migration step
/// by step while it watches the locks, and fails every step that holds ACCESS EXCLUSIVE for longer
/// than its budget.
#[derive(Debug, Parser)]
#[command(name = "lockproof", version, max_term_width = 100)]
#[command(after_long_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What is shown on the terminal.
    #[command(flatten)]
    pub terminal: Terminal,
}

/// What is shown on the terminal.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Terminal")]
pub struct Terminal {
    /// Say nothing but errors and what a file `-` was asked for
    #[arg(short, long, global = true, env = "LOCKPROOF_QUIET", value_parser = BoolishValueParser::new())]
    #[arg(conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: every hold and every decision; twice: every statement of lockproof's own
    #[arg(short, long, global = true, env = "LOCKPROOF_VERBOSE", action = ArgAction::Count)]
    pub verbose: u8,
    /// When to use colours
    #[arg(long, global = true, env = "LOCKPROOF_COLOR", value_name = "WHEN")]
    #[arg(value_enum, default_value_t, hide_possible_values = false)]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Whether looks at the locks draw closer together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Cadence {
    /// Some 0.2ms apart around a lock that may break its budget, --interval while nothing happens
    #[default]
    Adaptive,
    /// Always --interval apart
    Fixed,
}

/// Budgets of what applications feel, where the scenario sets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Half a second for every wait, and nothing lost
    Strict,
}

/// What of the data is in memory when a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Warmth {
    /// Everything was read once, as far as it fits
    Warm,
    /// Nothing: a scan reads the disk
    Cold,
    /// Whatever a fresh copy leaves in the kernel's memory; the server's is empty
    AsIs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a migration on a snapshot and judge how long each step held its locks
    ///
    /// PATH is a scenario's folder, its scenario.toml, a folder of .sql files, or .sql files in the order
    /// in which they are to run, each of them one step. Several scenarios run one after the other, or
    /// at once with --jobs.
    Run(Box<Run>),
    /// Judge a stored recording again, without a database
    ///
    /// The same recording, the same report, wherever and whenever it is judged.
    Judge(Judge),
    /// Run several scenarios on one snapshot, under the same traffic, and lay them side by side
    Compare(Box<Compare>),
    /// Make, list and remove snapshots
    #[command(subcommand, after_long_help = snapshot::SNAPSHOT_HELP)]
    Snapshot(SnapshotCommand),
    /// Remove whatever an earlier run left behind: containers, volumes, servers
    ///
    /// Finds them by the label that every run puts on what it makes. Runs that are still going are left
    /// alone.
    Clean(Clean),
    /// Say what is there to run on, and what to do about what is missing
    ///
    /// Looks at the container engine, its images, the server binaries of this machine, permissions and the
    /// cache folder. Changes nothing.
    Doctor(Doctor),
    /// Print a completion script for a shell
    #[command(after_long_help = COMPLETIONS_HELP)]
    Completions(Completions),
    /// Print the manual page, in roff
    Man,
}

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
    /// Names of production's hosts, databases and clusters, which nothing confirms; `*` is any text
    ///
    /// For --stage postgres://…, and for clones that a snapshot's own programs make. Several are separated
    /// by commas. Best set once for everybody, in the environment.
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

/// The report's forms, and where each is written.
#[derive(Debug, Clone, Default, Args)]
pub struct Faces {
    /// Write the report as JSON; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.json. Several scenarios need
    /// either; on standard output their reports follow each other in the order of the command line.
    #[arg(
        long,
        env = "LOCKPROOF_JSON",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub json: Option<PathBuf>,
    /// Write the report as a page with a picture of it; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.html. Several scenarios need
    /// either. The page loads nothing from elsewhere.
    #[arg(
        long,
        env = "LOCKPROOF_HTML",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub html: Option<PathBuf>,
    /// Write the report as Markdown, for a comment on a change; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.md. Several scenarios need
    /// either; on standard output their reports follow each other in the order of the command line.
    #[arg(
        long,
        env = "LOCKPROOF_MARKDOWN",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub markdown: Option<PathBuf>,
    /// Write the report as JUnit XML, a test case each step; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.xml. Several scenarios need
    /// either.
    #[arg(
        long,
        env = "LOCKPROOF_JUNIT",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub junit: Option<PathBuf>,
}

/// The arguments of `judge`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = JUDGE_HELP)]
pub struct Judge {
    /// The file that `run --record` wrote; `-` is standard input
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,

    /// The longest hold of ACCESS EXCLUSIVE, such as 20ms [default: the run's]
    ///
    /// A step's own budget, with its reason, stays.
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

    /// Where the report goes.
    #[command(flatten)]
    pub faces: Faces,
}

/// The arguments of `clean`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = CLEAN_HELP)]
pub struct Clean {
    /// Also end stages that were kept, and remove cached snapshots; the next run restores them anew
    #[arg(long, env = "LOCKPROOF_CLEAN_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,
    /// The cache folder.
    #[command(flatten)]
    pub cache: Cache,
}

/// The arguments of `doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = DOCTOR_HELP)]
pub struct Doctor {
    /// The cache folder.
    #[command(flatten)]
    pub cache: Cache,
}

/// The arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// A stage may be a URL with a password: from here on it cannot be printed.
fn secret(typed: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(typed))
}

const AFTER_HELP: &str = "\
Examples:
  lockproof run scenarios/listings-published
  lockproof run --snapshot listings migrations/0042_add_column.sql
  lockproof judge run.jsonl --budget 20ms

`lockproof run --help` says more about running one, `lockproof doctor` what there is to run on.

Exit codes:
  0      every step within its budgets
  1      a budget was exceeded
  2      usage, or the description of the scenario, the snapshot or the traffic is invalid
  3      the stage could not be brought up, restored, or was lost
  4      a statement or a command of the migration failed
  5      unproven: what was seen neither proves nor refutes the budget
  6      a report could not be written
  70     a defect of lockproof
  128+n  ended by signal n, after cleaning up";

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

const JUDGE_HELP: &str = "\
Examples:
  lockproof judge run.jsonl
  lockproof judge run.jsonl --budget 20ms --strict
  zstdcat run.jsonl.zst | lockproof judge -

Exit codes:
  0      every step within its budgets
  1      a budget was exceeded
  2      usage, or the recording cannot be read
  3      the stage was lost in the recorded run
  4      a statement or a command of the migration failed
  5      unproven: what was seen neither proves nor refutes the budget (0 with --allow-unproven)
  6      a report could not be written
  70     a defect of lockproof";

const CLEAN_HELP: &str = "\
Examples:
  lockproof clean
  lockproof clean --all

Exit codes:
  0      nothing is left
  2      usage
  3      something could not be removed";

const DOCTOR_HELP: &str = "\
Exit codes:
  0      there is a stage to run on
  2      usage
  3      there is none; what was printed says how to get one";

const COMPLETIONS_HELP: &str = "\
Examples:
  lockproof completions bash > ~/.local/share/bash-completion/completions/lockproof
  lockproof completions zsh > ~/.zfunc/_lockproof
  lockproof completions fish > ~/.config/fish/completions/lockproof.fish";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_an_environment_variable_and_a_help_text() {
        let cli = Cli::command();
        let commands = cli
            .get_subcommands()
            .flat_map(|command| command.get_subcommands().chain([command]))
            .chain([&cli]);
        for command in commands {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                if argument.is_positional() || ["help", "version"].contains(&id) {
                    continue;
                }
                let name = argument
                    .get_env()
                    .unwrap_or_else(|| panic!("`{id}` of `{}` has none", command.get_name()));
                assert!(name.to_string_lossy().starts_with("LOCKPROOF_"), "{id}");
                assert!(argument.get_help().is_some(), "{id}");
            }
        }
    }

    /// One that meant two things would set both for whoever exports it.
    #[test]
    fn a_variable_means_the_same_wherever_it_stands() {
        let cli = Cli::command();
        let mut meanings = std::collections::BTreeMap::new();
        for command in cli
            .get_subcommands()
            .flat_map(|command| command.get_subcommands().chain([command]))
        {
            for argument in command.get_arguments() {
                let Some(name) = argument.get_env() else {
                    continue;
                };
                let help = argument.get_help().map(ToString::to_string);
                let meaning: &mut std::collections::BTreeSet<_> = meanings
                    .entry(name.to_string_lossy().into_owned())
                    .or_default();
                meaning.insert(help.unwrap_or_default());
            }
        }
        meanings.retain(|_, helps| helps.len() > 1);
        // Of these the same is said in the words of each command.
        let worded = ["BUDGET", "IMAGE", "PG_BIN", "STAGE"].map(|name| format!("LOCKPROOF_{name}"));
        let several: Vec<_> = meanings.into_keys().collect();
        assert_eq!(several, worded);
    }

    #[test]
    fn every_command_shows_examples_or_exit_codes() {
        for command in Cli::command().get_subcommands() {
            let shown = command.get_after_long_help().is_some();
            assert!(
                shown || command.get_name() == "man",
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn arguments_are_kept_as_typed() {
        let cli = Cli::try_parse_from([
            "lockproof",
            "run",
            "a.sql",
            "b.sql",
            "--var",
            "a=1,2",
            "--var=b=",
            "--budget",
            "fifty",
            "-vv",
        ])
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(cli.terminal.verbose, 2);
        let Command::Run(run) = cli.command else {
            panic!("another command")
        };
        assert_eq!(run.paths, [PathBuf::from("a.sql"), PathBuf::from("b.sql")]);
        assert_eq!(run.var, ["a=1,2", "b="]);
        assert_eq!(run.budget.as_deref(), Some("fifty"));
        assert_eq!(run.place.stage, None);
    }

    #[test]
    fn a_password_in_the_stage_is_never_shown() {
        let url = "postgres://app:s3cret@db.example/shop";
        let cli = Cli::try_parse_from(["lockproof", "run", "a.sql", "--stage", url])
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(!format!("{cli:?}").contains("s3cret"));
    }
}
