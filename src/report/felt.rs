//! What applications felt, for a terminal: a line a step, with the operation that suffered most.

use comfy_table::{Cell, CellAlignment, Table};

use super::model::impact::{Disturbance, OperationTraffic, Traffic};
use super::model::{Report, Step};
use super::table::{lines, millis, plain};
use super::text::{self, count};
use crate::plan::Load;
use crate::recording::traffic::{Ending, lost};

/// None: nothing ran beside the migration.
pub(super) fn render(report: &Report) -> Option<String> {
    if report.traffic.is_none() && report.disturbances.is_empty() {
        return None;
    }
    let mut out = String::new();
    if let Some(traffic) = &report.traffic {
        out.push_str(&format!("  {}\n", head(traffic)));
    }
    for disturbance in &report.disturbances {
        out.push_str(&format!("  {}\n", in_the_way(disturbance)));
    }
    if report.steps.iter().any(has_requests) {
        out.push_str(&lines(&table(report)));
        out.push('\n');
    }
    Some(out)
}

fn table(report: &Report) -> Table {
    let mut table = plain();
    table.set_header([
        "traffic in",
        "requests",
        "slow",
        "lost",
        "p99 was",
        "p99 now",
        "longest",
        "worst",
    ]);
    for step in report.steps.iter().filter(|step| has_requests(step)) {
        let sum = |of: &dyn Fn(&OperationTraffic) -> u64| {
            let operations = step.traffic.iter();
            operations.map(of).fold(0, u64::saturating_add)
        };
        let slow = |operation: &OperationTraffic| operation.endings.get(&Ending::Slow).copied();
        let longest = step
            .traffic
            .iter()
            .filter_map(|operation| operation.latency_ms)
            .map(|latency| latency.max)
            .fold(0.0, f64::max);
        let worst = worst(&step.traffic);
        let p99 = |of: Option<f64>| of.map_or_else(|| "–".to_owned(), millis);
        let here = worst
            .and_then(|worst| worst.latency_ms)
            .map(|here| here.p99);
        let change = worst.and_then(|worst| worst.change_ms).map(|more| more.p99);
        table.add_row([
            Cell::new(text::short(&step.name, 18)),
            Cell::new(count(sum(&|operation| operation.requests))),
            Cell::new(count(sum(&|operation| slow(operation).unwrap_or(0)))),
            Cell::new(count(sum(&|operation| lost(&operation.endings)))),
            Cell::new(p99(here.zip(change).map(|(here, more)| here - more))),
            Cell::new(p99(here)),
            Cell::new(millis(longest)),
            Cell::new(
                worst.map_or_else(|| "–".to_owned(), |worst| text::short(&worst.operation, 12)),
            ),
        ]);
    }
    for index in 1..7 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn has_requests(step: &Step) -> bool {
    step.traffic.iter().any(|operation| operation.requests > 0)
}

/// The operation whose 99th percentile grew most; where nothing is known of that, the one with the longest.
fn worst(operations: &[OperationTraffic]) -> Option<&OperationTraffic> {
    let asked = operations.iter().filter(|operation| operation.requests > 0);
    asked.max_by(|a, b| {
        let change = |of: &OperationTraffic| of.change_ms.map_or(f64::MIN, |more| more.p99);
        let here = |of: &OperationTraffic| of.latency_ms.map_or(0.0, |latency| latency.p99);
        change(a)
            .total_cmp(&change(b))
            .then(here(a).total_cmp(&here(b)))
    })
}

fn head(traffic: &Traffic) -> String {
    let load = match traffic.load {
        Load::Open { rate, .. } => {
            let begun = traffic
                .rate
                .map_or_else(String::new, |begun| format!(", {begun:.1} begun"));
            format!("{rate} requests/s asked for{begun}")
        }
        Load::Closed { clients, .. } => {
            let begun = traffic
                .rate
                .map_or_else(String::new, |begun| format!(", {begun:.1} requests/s"));
            format!("{clients} clients that wait for their answers{begun}")
        }
    };
    let operations = traffic.operations.len();
    format!(
        "traffic  {load}, {operations} operation{}, a pool of {}",
        if operations == 1 { "" } else { "s" },
        traffic.front.pool
    )
}

fn in_the_way(disturbance: &Disturbance) -> String {
    let when = match (disturbance.began_ms, disturbance.ended_ms) {
        (None, _) => "never in place".to_owned(),
        (Some(began), None) => format!("from {} on", millis(began)),
        (Some(began), Some(ended)) => format!("from {} to {}", millis(began), millis(ended)),
    };
    format!(
        "in the way: {} ({}), {when}",
        disturbance.name, disturbance.kind
    )
}
