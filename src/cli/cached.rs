//! What is typed about restored snapshots.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::common::Cache;

/// The arguments of `snapshot ls`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = LS_HELP)]
pub struct SnapshotLs {
    /// Print JSON
    #[arg(long, env = "LOCKPROOF_SNAPSHOT_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// The cache folder.
    #[command(flatten)]
    pub cache: Cache,
}

/// The arguments of `snapshot inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = INSPECT_HELP)]
pub struct SnapshotInspect {
    /// The id that `snapshot ls` shows, or its beginning, or the snapshot's name where only one has it
    #[arg(required = true, value_name = "ID|NAME")]
    pub id: String,
    /// Print JSON
    #[arg(long, env = "LOCKPROOF_SNAPSHOT_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// The cache folder.
    #[command(flatten)]
    pub cache: Cache,
}

/// The arguments of `snapshot rm`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = RM_HELP)]
pub struct SnapshotRm {
    /// The ids that `snapshot ls` shows, or their beginnings, or names that only one has
    #[arg(required = true, value_name = "ID|NAME")]
    pub ids: Vec<String>,
    /// The cache folder.
    #[command(flatten)]
    pub cache: Cache,
}

/// The arguments of `snapshot prune`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_long_help = PRUNE_HELP)]
pub struct SnapshotPrune {
    /// Remove what no run used for so long, such as 30d or 12h [default: 30d unless --max-size is given]
    #[arg(long, env = "LOCKPROOF_OLDER_THAN", value_name = "AGE")]
    pub older_than: Option<String>,
    /// Remove what was unused the longest until all of it together is no larger, such as 50GiB
    #[arg(long, env = "LOCKPROOF_MAX_SIZE", value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Say what would be removed, and remove nothing
    #[arg(long, env = "LOCKPROOF_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// The cache folder.
    #[command(flatten)]
    pub cache: Cache,
}

const LS_HELP: &str = "\
Examples:
  lockproof snapshot ls
  lockproof snapshot ls --json | jq -r '.snapshots[] | select(.in_use | not) | .id'

Exit codes:
  0      all is listed, or there is nothing
  2      usage
  3      the container engine answers, but does not say what it has";

const INSPECT_HELP: &str = "\
Examples:
  lockproof snapshot inspect 3f9c
  lockproof snapshot inspect listings --json

Exit codes:
  0      it is shown
  2      usage, no such snapshot, or more than one
  3      the container engine answers, but does not say what it has";

const RM_HELP: &str = "\
Examples:
  lockproof snapshot rm 3f9c 81a0
  lockproof snapshot rm listings

Exit codes:
  0      all of them are removed
  2      usage, no such snapshot, or more than one: nothing is removed
  3      one is in use, or could not be removed; the others are";

const PRUNE_HELP: &str = "\
Examples:
  # What no run used within 30 days
  lockproof snapshot prune

  # At most 50 GiB, what was used last stays; first only say what would go
  lockproof snapshot prune --max-size 50GiB --dry-run
  lockproof snapshot prune --max-size 50GiB

Exit codes:
  0      nothing is left that should go, but for what is in use
  2      usage
  3      something could not be removed";
