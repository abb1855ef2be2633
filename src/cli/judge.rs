//! The arguments of `judge`.

use std::path::PathBuf;

use clap::Args;

use super::common::{Faces, Strictness};

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
