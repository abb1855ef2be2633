//! Several scenarios on the same snapshot under the same traffic, side by side.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment};
use schemars::JsonSchema;
use serde::Serialize;

use super::model::impact::OperationTraffic;
use super::model::{Report, SCHEMA_VERSION, Span, Step, Tool};
use super::table::{Palette, colour, lines, longest_of, millis, plain, span};
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

/// Renders it for a terminal: what is compared as lines, scenarios as columns.
pub fn render(comparison: &Comparison, palette: Palette) -> String {
    let mut table = plain();
    if palette == Palette::Ansi {
        table.enforce_styling();
    }
    let of = |cell: &dyn Fn(&Compared) -> Cell| -> Vec<Cell> {
        comparison.scenarios.iter().map(cell).collect()
    };
    let mut line = |name: &str, cells: Vec<Cell>| {
        let mut row = vec![Cell::new(name)];
        row.extend(cells);
        table.add_row(row);
    };
    line(
        "downtime",
        of(&|one| Cell::new(nothing_or(one.downtime_ms))),
    );
    line("sessions blocked", of(&|one| Cell::new(count(one.blocked))));
    for (name, ending) in [
        ("timed out (504)", Ending::TimedOut),
        ("refused (502)", Ending::Refused),
        ("failed", Ending::Failed),
        ("deadlocked", Ending::Deadlocked),
        ("slow", Ending::Slow),
    ] {
        let number = |one: &Compared| match &one.requests {
            Some(requests) => count(requests.get(&ending).copied().unwrap_or(0)),
            None => "–".to_owned(),
        };
        line(name, of(&|one| Cell::new(number(one))));
    }
    line(
        "longest AEL hold",
        of(&|one| {
            Cell::new(
                one.longest_hold_ms
                    .map_or_else(|| "none seen".to_owned(), nothing_or),
            )
        }),
    );
    line(
        "exclusion",
        of(&|one| Cell::new(nothing_or(one.exclusion_ms))),
    );
    line(
        "p99 before",
        of(&|one| {
            let change = one.p99_change.as_ref();
            Cell::new(change.map_or_else(|| "–".to_owned(), |change| millis(change.baseline_ms)))
        }),
    );
    line(
        "p99 at its worst",
        of(&|one| {
            let change = one.p99_change.as_ref();
            Cell::new(change.map_or_else(|| "–".to_owned(), |change| millis(change.p99_ms)))
        }),
    );
    line(
        "  in the step",
        of(&|one| {
            let change = one.p99_change.as_ref();
            Cell::new(change.map_or_else(|| "–".to_owned(), |change| text::short(&change.step, 18)))
        }),
    );
    line(
        "longest request",
        of(&|one| {
            Cell::new(
                one.longest_request_ms
                    .map_or_else(|| "–".to_owned(), millis),
            )
        }),
    );
    line("total time", of(&|one| Cell::new(millis(one.total_ms))));
    line(
        "verdict",
        of(&|one| Cell::new(one.verdict.name()).fg(colour(one.verdict))),
    );
    let mut head = vec![Cell::new("")];
    head.extend(of(&|one| Cell::new(text::short(&one.scenario, 24))));
    table.set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = lines(&table);
    out.push('\n');
    for one in &comparison.scenarios {
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
