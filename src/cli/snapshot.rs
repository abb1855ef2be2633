//! `lockproof snapshot …`: what is typed there.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand};

use super::cached::{SnapshotInspect, SnapshotLs, SnapshotPrune, SnapshotRm};
use super::common::{Cache, Place};
use super::secret;
use crate::stage::Secret;

/// What to do with snapshots.
#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotCommand {
    /// Take a snapshot of a server, a replica or production itself, and restore it
    ///
    /// Reads everything in one read-only transaction, with pg_dump of the server's own major; writes
    /// nothing there. A table can be left out, taken without rows, or with those of its rows that meet
    /// a condition: reports then say that the snapshot is partial.
    Create(Box<SnapshotCreate>),
    /// List the restored snapshots
    ///
    /// Those of the cache folder and those of the container engine, with their sizes, and when a run last
    /// used each.
    Ls(SnapshotLs),
    /// Say everything that is known of a restored snapshot
    Inspect(SnapshotInspect),
    /// Remove restored snapshots; the next run that needs one restores it anew
    ///
    /// One that a run uses is refused.
    Rm(SnapshotRm),
    /// Remove the restored snapshots that nobody used for long, or that are too many
    ///
    /// Without options: what no run used within 30 days. A snapshot that changes is restored anew each time,
    /// and what it was before is never asked for again. What is in use is never removed.
    Prune(SnapshotPrune),
}

/// The arguments of `snapshot create`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = CREATE_HELP)]
#[command(mut_arg("stage", |stage| stage.help(STAGE).long_help(STAGE_AT_LENGTH)))]
#[command(mut_arg("image", |image| image.help(IMAGE)))]
#[command(mut_arg("pg_bin", |folder| folder.help(PG_BIN)))]
pub struct SnapshotCreate {
    /// The server to read: postgres://USER@HOST:PORT/DATABASE
    ///
    /// It is only read, so it may be production; a replica spares production the work. A URL with a
    /// password belongs into the environment variable: everybody on the machine can read a command line.
    #[arg(
        long,
        env = "LOCKPROOF_FROM",
        hide_env_values = true,
        value_name = "URL",
        value_parser = secret
    )]
    pub from: Secret,
    /// The folder to make [default: snapshots/NAME]
    #[arg(long, env = "LOCKPROOF_TO", value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// What the snapshot is called [default: the folder's name, else the database's]
    #[arg(long, env = "LOCKPROOF_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Replace the folder, if an earlier `snapshot create` made it
    #[arg(long, env = "LOCKPROOF_FORCE", value_parser = BoolishValueParser::new())]
    pub force: bool,

    /// Leave a table out altogether; repeatable
    ///
    /// TABLE is a name, with its schema unless it is on the search path, quoted as in SQL where it has
    /// to be; `*` and `?` stand for any characters and any one. Partitions go with their table. In the
    /// environment variable, one a line.
    #[arg(
        long,
        env = "LOCKPROOF_EXCLUDE",
        value_name = "TABLE",
        help_heading = "What is taken"
    )]
    #[arg(value_delimiter = '\n', action = ArgAction::Append)]
    pub exclude: Vec<String>,
    /// Take a table, but none of its rows; repeatable
    #[arg(
        long,
        env = "LOCKPROOF_EXCLUDE_DATA",
        value_name = "TABLE",
        help_heading = "What is taken"
    )]
    #[arg(value_delimiter = '\n', action = ArgAction::Append)]
    pub exclude_data: Vec<String>,
    /// Take those rows of a table that meet an SQL condition; repeatable
    ///
    /// Such as `--where "events=created_at > now() - interval '7 days'"`. The condition stands in the
    /// snapshot's description and in reports, with its literals. A foreign key to a row that is not taken is
    /// refused: give the table that refers to it a condition as well.
    #[arg(
        long = "where",
        env = "LOCKPROOF_WHERE",
        hide_env_values = true,
        value_name = "TABLE=CONDITION",
        help_heading = "What is taken"
    )]
    #[arg(value_delimiter = '\n', action = ArgAction::Append)]
    pub conditions: Vec<String>,
    /// Tables that are read at once: 1 to 64 [default: one for each core, 4 at the most]
    #[arg(
        long,
        env = "LOCKPROOF_CREATE_JOBS",
        value_name = "N",
        help_heading = "What is taken"
    )]
    pub jobs: Option<u32>,

    /// Do not restore it now; the first run does
    #[arg(long, env = "LOCKPROOF_NO_RESTORE", help_heading = "Stage", value_parser = BoolishValueParser::new())]
    pub no_restore: bool,
    /// Which server.
    #[command(flatten)]
    pub place: Place,
    /// The cache folder.
    #[command(flatten, next_help_heading = "Stage")]
    pub cache: Cache,
}

/// Of `snapshot` itself.
pub(super) const SNAPSHOT_HELP: &str = "\
Examples:
  lockproof snapshot create --from postgres://reader@replica/shop
  lockproof snapshot ls
  lockproof snapshot prune --max-size 50GiB

A snapshot is restored once for each server and image, and every run gets a copy of that. `snapshot`
is about what was restored; the snapshots themselves are folders with a snapshot.toml.";

const STAGE: &str = "Where to restore, and run pg_dump: auto, docker or local [default: auto]";
const STAGE_AT_LENGTH: &str = "\
Where to restore, and run pg_dump: auto, docker or local [default: auto]

auto: pg_dump of this machine where it is of the server's major, otherwise that of the image; the \
snapshot is restored where a run would.";
const IMAGE: &str = "The container image [default: postgres of the server's major version]";
const PG_BIN: &str =
    "A folder of PostgreSQL's programs (pg_dump, initdb, postgres) to use [default: searched for]";

const CREATE_HELP: &str = "\
Examples:
  # All of it, as snapshots/shop, restored and ready
  lockproof snapshot create --from postgres://reader@replica/shop

  # Without an archive's rows, and with a week of events
  lockproof snapshot create --from postgres://reader@replica/shop --exclude-data audit.archive \\
    --where \"events=created_at > now() - interval '7 days'\"

  # The password from the environment
  LOCKPROOF_FROM=postgres://reader:…@replica/shop lockproof snapshot create

Exit codes:
  0      the snapshot is there, and restored unless --no-restore
  2      usage, or a table or condition that cannot be
  3      the server cannot be read, the snapshot not written or not restored
  70     a defect of lockproof
  128+n  ended by signal n, after cleaning up";
