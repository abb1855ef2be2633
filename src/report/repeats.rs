//! How steps came out that were measured repeatedly, as a table of its own.

use comfy_table::CellAlignment;

use super::model::{Report, Step};
use super::table::{lines, millis, plain};
use crate::judge::Verdict;

/// Renders it; None: everything was measured once.
pub fn render(report: &Report) -> Option<String> {
    if report.steps.iter().all(|step| step.repeats.is_none()) {
        return None;
    }
    let mut table = plain();
    table.set_header([
        "step",
        "within",
        "exceeded",
        "unproven",
        "AEL hold ≥",
        "p50 ≤",
        "p99 ≤",
        "max ≤",
    ]);
    for step in &report.steps {
        table.add_row(row(step));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Some(format!(
        "measured {} times, each on a fresh copy; above is each step's worst\n{}\n",
        report.run.repeat,
        lines(&table)
    ))
}

fn row(step: &Step) -> [String; 8] {
    let repeats = step.repeats.as_ref();
    let count = |wanted: Verdict| {
        let verdicts = repeats.map_or(&[][..], |repeats| &repeats.verdicts);
        let count = verdicts
            .iter()
            .filter(|verdict| **verdict == wanted)
            .count();
        count.to_string()
    };
    let time = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), millis);
    let least = repeats.and_then(|repeats| repeats.at_least_ms);
    let most = repeats.and_then(|repeats| repeats.at_most_ms);
    [
        step.name.clone(),
        count(Verdict::Within),
        count(Verdict::Exceeded),
        count(Verdict::Unproven),
        time(least.map(|least| least.min)),
        time(most.map(|most| most.p50)),
        time(most.map(|most| most.p99)),
        time(most.map(|most| most.max)),
    ]
}
