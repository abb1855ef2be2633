//! Several scenarios on the same snapshot under the same traffic, side by side.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment};
use schemars::JsonSchema;
use serde::Serialize;

use super::model::impact::OperationTraffic;
use super::model::{Report, SCHEMA_VERSION, Span, Step, Tool};
use super::shown::span;
use super::table::{Palette, colour, lines, longest_of, millis, plain};
use super::text::{self, count};
use crate::judge::Verdict;
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

/// Fewer requests have no 99th percentile worth the name.
const ENOUGH: u64 = 100;

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
        p99_change: steps
            .iter()
            .flat_map(|step| step.traffic.iter().map(move |of| (step, of)))
            .filter_map(|(step, operation)| change(step, operation))
            .max_by(|a, b| {
                let more = |change: &Change| change.p99_ms - change.baseline_ms;
                more(a).total_cmp(&more(b))
            }),
        longest_request_ms: has_traffic.then_some(longest),
        total_ms: steps.iter().filter_map(|step| step.elapsed_ms).sum(),
        report,
    }
}

fn change(step: &Step, operation: &OperationTraffic) -> Option<Change> {
    let here = operation.latency_ms?.p99;
    let more = operation.change_ms?.p99;
    (operation.requests >= ENOUGH).then(|| Change {
        step: step.name.clone(),
        operation: operation.operation.clone(),
        baseline_ms: here - more,
        p99_ms: here,
    })
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

impl Comparison {
    /// True where applications asked for something meanwhile.
    pub(super) fn has_traffic(&self) -> bool {
        self.scenarios.iter().any(|one| one.requests.is_some())
    }

    /// What is compared, and how it is in each scenario, in words; what is known of none is left out.
    pub(super) fn rows(&self) -> Vec<(&'static str, Vec<String>)> {
        let of = |cell: &dyn Fn(&Compared) -> String| self.scenarios.iter().map(cell).collect();
        let ended = |ending: Ending| -> Vec<String> {
            of(&|one| match &one.requests {
                Some(requests) => count(requests.get(&ending).copied().unwrap_or(0)),
                None => UNKNOWN.to_owned(),
            })
        };
        let changed = |cell: &dyn Fn(&Change) -> String| -> Vec<String> {
            of(&|one| {
                one.p99_change
                    .as_ref()
                    .map_or_else(|| UNKNOWN.to_owned(), cell)
            })
        };
        let rows = vec![
            ("downtime", of(&|one| nothing_or(one.downtime_ms))),
            ("waits behind it", of(&|one| count(one.blocked))),
            ("timed out (504)", ended(Ending::TimedOut)),
            ("refused (502)", ended(Ending::Refused)),
            ("failed", ended(Ending::Failed)),
            ("deadlocked", ended(Ending::Deadlocked)),
            ("slow", ended(Ending::Slow)),
            (
                "longest AEL hold",
                of(&|one| {
                    one.longest_hold_ms
                        .map_or_else(|| "none seen".to_owned(), span)
                }),
            ),
            ("exclusion", of(&|one| nothing_or(one.exclusion_ms))),
            ("p99 before", changed(&|change| millis(change.baseline_ms))),
            ("p99 at its worst", changed(&|change| millis(change.p99_ms))),
            (
                "  in the step",
                changed(&|change| text::short(&change.step, 18)),
            ),
            (
                "longest request",
                of(&|one| {
                    one.longest_request_ms
                        .map_or_else(|| UNKNOWN.to_owned(), millis)
                }),
            ),
            ("total time", of(&|one| millis(one.total_ms))),
        ];
        let is_known = |(_, cells): &(&str, Vec<String>)| cells.iter().any(|cell| cell != UNKNOWN);
        rows.into_iter().filter(is_known).collect()
    }
}

const UNKNOWN: &str = "–";

/// Renders it for a terminal: what is compared as lines, scenarios as columns.
pub fn render(comparison: &Comparison, palette: Palette) -> String {
    let mut table = plain();
    if palette == Palette::Ansi {
        table.enforce_styling();
    }
    let scenarios = || comparison.scenarios.iter();
    let head = scenarios().map(|one| text::short(&one.scenario, 24));
    table.set_header(std::iter::once(String::new()).chain(head));
    for (name, cells) in comparison.rows() {
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    }
    let verdicts = scenarios().map(|one| Cell::new(one.verdict.name()).fg(colour(one.verdict)));
    table.add_row(std::iter::once(Cell::new("verdict")).chain(verdicts));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = lines(&table);
    out.push('\n');
    for one in scenarios() {
        if let Some(limit) = marked(&one.report) {
            out.push_str(&format!("{}: {limit}\n", one.scenario));
        }
    }
    out
}

fn nothing_or(time: Span) -> String {
    if time.at_most == Some(0.0) {
        "none".to_owned()
    } else {
        span(time)
    }
}

/// What makes a scenario's figures less than they seem.
fn marked(report: &Report) -> Option<&str> {
    report
        .findings
        .iter()
        .find(|finding| finding.rule.starts_with("traffic-"))
        .map(|finding| finding.message.as_str())
}
