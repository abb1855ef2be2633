//! The command line: arguments exactly as typed.
//!
//! Touches nothing and decides nothing: units, names and contradictions are `config`'s to read. Every
//! option has an environment variable; what is typed wins over it, and both win over the scenario.

mod cached;
mod common;
mod compare;
mod judge;
mod run;
mod snapshot;

use std::convert::Infallible;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use self::cached::{SnapshotInspect, SnapshotLs, SnapshotPrune, SnapshotRm};
pub use self::common::{Cache, Faces, Place, Strictness};
pub use self::compare::Compare;
pub use self::judge::Judge;
pub use self::run::Run;
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

/// What a stage's server, and the programs of steps, may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// The stage and nothing else
    Closed,
    /// Whatever this machine reaches, production included
    Open,
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

    use std::path::PathBuf;

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
