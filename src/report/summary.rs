//! How several scenarios came out, a line each, below all of their reports.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, ColumnConstraint, Width};

use super::model::Report;
use super::shown::span;
use super::table::{Palette, colour, lines, longest_of, plain};
use super::text::time;
use crate::judge::Verdict;

/// A scenario's line.
#[derive(Debug, Clone)]
pub struct Row {
    scenario: String,
    took: Option<Duration>,
    outcome: Outcome,
    hold: String,
    neighbours: u32,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Judged(Verdict),
    Without(&'static str),
}

impl Row {
    /// Of a scenario that has a report; `took` is all of it, from its restore on.
    pub fn of(scenario: &str, took: Option<Duration>, report: &Report) -> Self {
        let holds = report.steps.iter().flat_map(|step| &step.holds);
        Self {
            outcome: Outcome::Judged(report.verdict),
            hold: longest_of(holds)
                .map_or_else(|| "none seen".to_owned(), |hold| span(hold.hold_ms)),
            neighbours: report.run.neighbours,
            ..Self::without(scenario, took, "")
        }
    }

    /// Of one that has none, and why in a word or two.
    pub fn without(scenario: &str, took: Option<Duration>, why: &'static str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            took,
            outcome: Outcome::Without(why),
            hold: "–".to_owned(),
            neighbours: 0,
        }
    }

    /// The same, with this in place of the verdict: the report is not all that there is to say.
    #[must_use]
    pub fn but(self, why: &'static str) -> Self {
        Self {
            outcome: Outcome::Without(why),
            ..self
        }
    }

    /// How it came out, in a word or two.
    pub fn outcome(&self) -> &'static str {
        match self.outcome {
            Outcome::Judged(verdict) => verdict.name(),
            Outcome::Without(why) => why,
        }
    }
}

/// Renders the lines and their sum.
pub fn render(rows: &[Row], palette: Palette) -> String {
    let beside = rows.iter().any(|row| row.neighbours > 0);
    let mut table = plain();
    let mut head = vec!["scenario", "time", "AEL hold", "verdict"];
    if beside {
        head.insert(3, "beside");
    }
    table.set_header(head);
    if palette == Palette::Ansi {
        table.enforce_styling();
    }
    for row in rows {
        let tint = match row.outcome {
            Outcome::Judged(verdict) => colour(verdict),
            Outcome::Without(_) => colour(Verdict::Failed),
        };
        let mut cells = vec![
            Cell::new(&row.scenario),
            Cell::new(row.took.map_or_else(|| "–".to_owned(), time)),
            Cell::new(&row.hold),
            Cell::new(row.outcome()).fg(tint),
        ];
        if beside {
            cells.insert(3, Cell::new(row.neighbours));
        }
        table.add_row(cells);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(36)));
    }
    for index in 1..if beside { 4 } else { 3 } {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n\n{}\n", lines(&table), sum(rows))
}

/// `3 scenarios: 2 within, 1 exceeded`, as they came.
fn sum(rows: &[Row]) -> String {
    let mut outcomes: Vec<(&str, usize)> = Vec::new();
    for row in rows {
        match outcomes.iter_mut().find(|(name, _)| *name == row.outcome()) {
            Some((_, count)) => *count += 1,
            None => outcomes.push((row.outcome(), 1)),
        }
    }
    let outcomes: Vec<String> = outcomes
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    format!("{} scenarios: {}", rows.len(), outcomes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scenario: &str, outcome: Outcome, neighbours: u32) -> Row {
        Row {
            outcome,
            hold: "1.2–1.6 ms".to_owned(),
            neighbours,
            ..Row::without(scenario, Some(Duration::from_millis(2_340)), "")
        }
    }

    #[test]
    fn each_scenario_has_a_line_and_neighbours_a_column_where_there_were_any() {
        let mut rows = vec![
            row("add-column", Outcome::Judged(Verdict::Within), 0),
            row("set-not-null", Outcome::Judged(Verdict::Exceeded), 0),
            Row::without("swap", None, "not begun"),
        ];
        assert_eq!(
            render(&rows, Palette::Plain),
            "scenario        time    AEL hold  verdict\n\
             ────────────────────────────────────────────\n\
             add-column    2.34 s  1.2–1.6 ms  within\n\
             set-not-null  2.34 s  1.2–1.6 ms  exceeded\n\
             swap               –           –  not begun\n\
             ────────────────────────────────────────────\n\
             \n\
             3 scenarios: 1 within, 1 exceeded, 1 not begun\n"
        );
        rows[1] = row("set-not-null", Outcome::Judged(Verdict::Within), 1).but("no report");
        rows[0].neighbours = 1;
        let shown = render(&rows, Palette::Plain);
        assert!(shown.contains("beside"), "{shown}");
        assert!(shown.contains("1.2–1.6 ms       1  no report"), "{shown}");
    }
}
