//! The arguments of `compare`.

use clap::Args;

use super::Run;

/// The arguments of `compare`: those of `run`, of which some say something about one scenario only.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = COMPARE_HELP)]
pub struct Compare {
    /// What to run, and how.
    #[command(flatten)]
    pub run: Run,
}

const COMPARE_HELP: &str = "\
Each scenario is run by itself, one after the other, on a fresh copy of the same snapshot, beside the same
traffic with the same seed. Scenarios that have traffic of their own need the same, or --traffic FILE for all.

--json FILE is the comparison with each scenario's whole report, --html FILE the same as a page. With --record
'{scenario}.jsonl' what was seen of each is kept: recordings of the same snapshot are compared as well, without
a database. A 99th percentile is shown where there were a hundred requests before the first step and in the
step: give the traffic a `baseline` that is long enough.

Examples:
  lockproof compare scenarios/listings-naive scenarios/listings-published scenarios/listings-redesigned
  lockproof compare --traffic scenarios/traffic/browsing.toml --var rows=4000000 --record '{scenario}.jsonl' A B
  lockproof compare *.jsonl --html compare.html

Exit codes:
  0  all scenarios were run to an end: their verdicts are in the table, and are nobody's failure here
  4  a statement of one of them failed
  2, 3, 6, 70, 128+n as for `lockproof run`
";
