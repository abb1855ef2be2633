//! Several scenarios on the same snapshot under the same traffic, side by side; `compare_words` has its words.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment};
use schemars::JsonSchema;
use serde::Serialize;

use super::model::impact::OperationTraffic;
use super::model::{Report, SCHEMA_VERSION, Span, Step, Tool};
use super::table::{Palette, WIDTH, colour, fill, lines, longest_of, plain};
use super::text;
use crate::judge::Verdict;
use crate::judge::impact::ENOUGH;
use crate::recording::format::SnapshotFacts;
use crate::recording::traffic::Ending;

/// Identifies the schema.
pub const SCHEMA_ID: &str = "https://lockproof.dev/schema/compare-1.json";

/// A comparison. All durations are milliseconds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Comparison {
    /// The schema's identity.
    #[serde(rename = "$schema")]
    pub schema: String,
    /// Version of its shape.
    pub schema_version: String,
    /// What wrote it.
    pub tool: Tool,
    /// What each of them started from; null where none came up.
    pub snapshot: Option<SnapshotFacts>,
    /// One for each scenario, in the order in which they were named.
    pub scenarios: Vec<Compared>,
}

/// A scenario beside the others.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Compared {
    /// Its name.
    pub scenario: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// For how long there was a relation on which no request could finish, all steps together.
    pub downtime_ms: Span,
    /// Waits behind the migration that were seen.
    pub blocked: u64,
    /// How the requests ended that are counted to a step or came after the last one; null where no traffic was run.
    pub requests: Option<BTreeMap<Ending, u64>>,
    /// Its longest hold of ACCESS EXCLUSIVE; null: none was seen.
    pub longest_hold_ms: Option<Span>,
    /// ACCESS EXCLUSIVE from asked to released, all steps together.
    pub exclusion_ms: Span,
    /// The operation and the step whose 99th percentile grew most over the baseline; null: nothing tells.
    pub p99_change: Option<Change>,
    /// The same for each operation, in the order of the traffic; one without a hundred requests before the first step
    /// and in any of the steps is not among them.
    pub p99_changes: Vec<Change>,
    /// The longest request of any step; null where no traffic was run.
    pub longest_request_ms: Option<f64>,
    /// All steps together.
    pub total_ms: f64,
    /// Its whole report.
    pub report: Report,
}

/// How much an operation's 99th percentile grew.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Change {
    /// The step.
    pub step: String,
    /// The operation.
    pub operation: String,
    /// Before the first step.
    pub baseline_ms: f64,
    /// Meanwhile.
    pub p99_ms: f64,
}

impl Change {
    fn cmp_growth(&self, other: &Self) -> Ordering {
        let more = |change: &Self| change.p99_ms - change.baseline_ms;
        more(self).total_cmp(&more(other))
    }
}

/// Lays reports side by side.
pub fn compare(reports: Vec<Report>) -> Comparison {
    Comparison {
        schema: SCHEMA_ID.to_owned(),
        schema_version: SCHEMA_VERSION.to_owned(),
        tool: reports.first().map_or_else(
            || Tool {
                name: "lockproof".to_owned(),
                version: String::new(),
            },
            |report| report.tool.clone(),
        ),
        snapshot: reports.iter().find_map(|report| report.snapshot.clone()),
        scenarios: reports.into_iter().map(compared).collect(),
    }
}

fn compared(report: Report) -> Compared {
    let has_traffic = report.traffic.is_some();
    let steps = &report.steps;
    let queues = || steps.iter().filter_map(|step| step.queue.as_ref());
    let operations = || steps.iter().flat_map(|step| &step.traffic);
    let mut requests: BTreeMap<Ending, u64> = BTreeMap::new();
    // What is gone may be missed only afterwards.
    let settled = report.traffic.iter().flat_map(|traffic| &traffic.settle);
    let endings = operations()
        .chain(settled)
        .flat_map(|operation| &operation.endings);
    for (ending, count) in endings {
        let sum = requests.entry(*ending).or_default();
        *sum = sum.saturating_add(*count);
    }
    let longest = operations()
        .filter_map(|operation| operation.latency_ms)
        .map(|latency| latency.max)
        .fold(0.0, f64::max);
    let changes = changes(&report);
    Compared {
        scenario: report.scenario.name.clone(),
        verdict: report.verdict,
        downtime_ms: sum(queues().filter_map(|queue| queue.downtime_ms)),
        blocked: queues()
            .map(|queue| queue.blocked)
            .fold(0, u64::saturating_add),
        requests: has_traffic.then_some(requests),
        longest_hold_ms: longest_of(steps.iter().flat_map(|step| &step.holds))
            .map(|hold| hold.hold_ms),
        exclusion_ms: sum(queues().filter_map(|queue| queue.exclusion_ms)),
        p99_change: changes.iter().max_by(|a, b| a.cmp_growth(b)).cloned(),
        p99_changes: changes,
        longest_request_ms: has_traffic.then_some(longest),
        total_ms: steps.iter().filter_map(|step| step.elapsed_ms).sum(),
        report,
    }
}

/// Where each operation's 99th percentile grew most.
fn changes(report: &Report) -> Vec<Change> {
    let usual = report.traffic.iter().flat_map(|traffic| &traffic.baseline);
    let of = |usual: &OperationTraffic| {
        let baseline_ms = usual.latency_ms?.p99;
        let here = |step: &Step| {
            let mut operations = step.traffic.iter();
            let here = operations.find(|here| here.operation == usual.operation)?;
            (here.requests >= ENOUGH).then_some(Change {
                step: step.name.clone(),
                operation: usual.operation.clone(),
                baseline_ms,
                p99_ms: here.latency_ms?.p99,
            })
        };
        let steps = report.steps.iter().filter_map(here);
        steps.max_by(Change::cmp_growth)
    };
    usual
        .filter(|usual| usual.requests >= ENOUGH)
        .filter_map(of)
        .collect()
}

/// Bounds of a sum: the sums of the bounds.
fn sum(spans: impl Iterator<Item = Span>) -> Span {
    let none = Span {
        at_least: 0.0,
        at_most: Some(0.0),
    };
    spans.fold(none, |sum, next| Span {
        at_least: sum.at_least + next.at_least,
        at_most: sum.at_most.zip(next.at_most).map(|(a, b)| a + b),
    })
}

/// So much of a line is a scenario's; more than three do not fit a narrow terminal, and are no better broken up.
const COLUMN: u16 = 20;

/// Renders it for a terminal: what is compared as lines, scenarios as columns.
pub fn render(comparison: &Comparison, palette: Palette) -> String {
    let mut table = plain();
    if palette == Palette::Ansi {
        table.enforce_styling();
    }
    let scenarios = || comparison.scenarios.iter();
    let columns = u16::try_from(1 + scenarios().len()).unwrap_or(u16::MAX);
    table.set_width(WIDTH.max(columns.saturating_mul(COLUMN)));
    let name = usize::from(COLUMN) - 1;
    let head = comparison.headings().into_iter();
    let head = head.map(|heading| text::short(&heading, name));
    table.set_header(std::iter::once(String::new()).chain(head));
    for (name, cells) in comparison.rows() {
        table.add_row(std::iter::once(name).chain(cells));
    }
    let verdicts = scenarios().map(|one| Cell::new(one.verdict.name()).fg(colour(one.verdict)));
    table.add_row(std::iter::once(Cell::new("verdict")).chain(verdicts));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = lines(&table);
    out.push('\n');
    for note in comparison.notes() {
        out.push_str(&fill(&note, "  "));
        out.push('\n');
    }
    out
}
