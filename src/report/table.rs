//! The report for a terminal: a table within 80 columns, then one paragraph for each finding.

use comfy_table::{
    Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
    Width,
};

use super::model::{Finding, Hold, Report, Step};
use super::text::{self, count, short};
use super::{felt, fidelity, queue, repeats, shown};
use crate::judge::Verdict;
use crate::pg::LockMode;
use crate::plan::Level;
use crate::recording::format::TableFacts;
use crate::stage::{CloneMethod, Network, StageKind};

/// A line below the head and one below the last step.
const LINES: TableStyle = TableStyle::new()
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The width that a report fits.
pub(super) const WIDTH: u16 = 80;

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// Colours for a terminal.
    Ansi,
    /// None, for a pipe or a file.
    Plain,
}

/// Renders the report.
pub fn render(report: &Report, palette: Palette) -> String {
    let mut out = String::new();
    out.push_str(&head(report));
    out.push('\n');
    out.push_str(&table(report, palette));
    out.push('\n');
    for line in queue::lines(report) {
        out.push_str(&fill(&line, "  "));
        out.push('\n');
    }
    if let Some(felt) = felt::render(report) {
        out.push('\n');
        out.push_str(&felt);
    }
    if let Some(repeats) = repeats::render(report) {
        out.push('\n');
        out.push_str(&repeats);
    }
    let findings = shown::findings(report);
    for (index, finding) in findings.iter().enumerate() {
        // What was advised just before is not advised again.
        let mut before = findings[..index].iter().rev();
        let last = before.find_map(|told| told.advice.as_ref());
        let is_told = finding.advice.is_some() && finding.advice.as_ref() == last;
        out.push('\n');
        out.push_str(&paragraph(finding, is_told, palette));
    }
    out.push('\n');
    out.push_str(&closing(report, palette));
    out
}

fn head(report: &Report) -> String {
    let mut lines = vec![format!("lockproof: {}", report.scenario.name)];
    if let (Some(line), Some(snapshot)) = (snapshot_line(report), &report.snapshot) {
        lines.push(format!("  snapshot {line}"));
        let warmth = report.stage.as_ref().and_then(|stage| stage.warmth);
        let facts = fidelity::line(snapshot, warmth);
        lines.extend(facts.map(|facts| fill(&facts, "           ")));
        for (number, reach) in fidelity::reaches(snapshot).iter().enumerate() {
            let label = if number == 0 {
                "  reaches  "
            } else {
                "           "
            };
            let filled = fill(reach, "           ");
            lines.push(format!("{label}{}", filled.trim_start()));
        }
    }
    if let Some(line) = stage_line(report) {
        let parts: Vec<String> = line
            .split("; ")
            .map(|part| fill(part, "           "))
            .collect();
        lines.push(format!("  stage    {}", parts.join("\n").trim_start()));
    }
    lines.join("\n")
}

/// `shop: 1,000,000 rows in 1 table, 52 MB`.
pub(super) fn snapshot_line(report: &Report) -> Option<String> {
    let snapshot = report.snapshot.as_ref()?;
    let sum = |of: fn(&TableFacts) -> u64| {
        let numbers = snapshot.tables.iter().map(of);
        numbers.fold(0, u64::saturating_add)
    };
    let rows = sum(|table| table.rows.unwrap_or(0));
    let bytes = sum(|table| table.bytes);
    let unknown = snapshot.tables.iter().filter(|table| table.rows.is_none());
    let rows = match (unknown.count(), rows) {
        (0, rows) => format!("{} rows", count(rows)),
        (_, 0) => "an unknown number of rows".to_owned(),
        (_, rows) => format!("at least {} rows", count(rows)),
    };
    Some(format!(
        "{}: {rows} in {} table{}, {}",
        snapshot.name,
        snapshot.tables.len(),
        if snapshot.tables.len() == 1 { "" } else { "s" },
        text::bytes(bytes)
    ))
}

/// `container of postgres:17, PostgreSQL 17.11, as app`.
pub(super) fn stage_line(report: &Report) -> Option<String> {
    let stage = report.stage.as_ref()?;
    let place = match (stage.kind, &stage.image) {
        (StageKind::Docker, Some(image)) => format!("container of {image}"),
        (StageKind::Docker, None) => "container".to_owned(),
        (StageKind::Local, _) => "local server".to_owned(),
        (StageKind::External, _) => "external server".to_owned(),
    };
    // `17.11 (Debian 17.11-0+deb13u1)`: who packaged it is in the JSON.
    let version = stage.server_version.split(" (").next();
    let role = stage.role.as_ref();
    let cloned = stage.clone.as_ref().map_or_else(String::new, |clone| {
        let how = match clone.method {
            CloneMethod::Reflink => "sharing blocks",
            CloneMethod::Copy if clone.kept_bytes > 0 => "renewing an earlier one",
            CloneMethod::Copy => "copying",
            CloneMethod::Hook => "the snapshot's program",
        };
        format!(
            "; cloned in {} by {how}",
            text::time(duration(clone.took_ms))
        )
    });
    let open = match stage.network {
        Some(Network::Open) => "; network: open",
        Some(Network::Closed) | None => "",
    };
    Some(format!(
        "{place}, PostgreSQL {}{}{cloned}{open}",
        version.unwrap_or_default(),
        role.map_or_else(String::new, |role| format!(", as {role}"))
    ))
}

fn table(report: &Report, palette: Palette) -> String {
    let mut table = plain();
    table.set_header([
        "step", "kind", "time", "AEL hold", "on", "blocked", "verdict",
    ]);
    if palette == Palette::Ansi {
        table.enforce_styling();
    }
    for step in &report.steps {
        let (hold, relation) = longest(step);
        table.add_row([
            Cell::new(&step.name),
            Cell::new(step.kind.name()),
            Cell::new(step.elapsed_ms.map_or_else(|| "–".to_owned(), millis)),
            Cell::new(hold),
            Cell::new(relation),
            Cell::new(step.blocked.len()),
            Cell::new(step.verdict.name()).fg(colour(step.verdict)),
        ]);
    }
    for (index, constraint) in [
        (0, ColumnConstraint::UpperBoundary(Width::Fixed(24))),
        (4, ColumnConstraint::UpperBoundary(Width::Fixed(26))),
    ] {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(constraint);
        }
    }
    for index in [2, 3, 5] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    lines(&table)
}

/// An empty table in the report's style and width, without colours.
pub(super) fn plain() -> Table {
    let mut table = Table::new();
    table
        .load_style(LINES)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .force_no_tty();
    table
}

/// Its lines, with nothing behind them.
pub(super) fn lines(table: &Table) -> String {
    let mut table = table.clone();
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The longest ACCESS EXCLUSIVE hold, or what is proved where none was seen.
fn longest(step: &Step) -> (String, String) {
    let on = match longest_of(&step.holds) {
        Some(hold) => short(hold.parent.as_ref().unwrap_or(&hold.relation), 38),
        None if step.elapsed_ms.is_none() || step.unseen_ms_max == 0.0 => "–".to_owned(),
        None => "none seen".to_owned(),
    };
    (shown::hold(step), on)
}

/// The longest ACCESS EXCLUSIVE hold of these.
pub(super) fn longest_of<'a>(holds: impl IntoIterator<Item = &'a Hold>) -> Option<&'a Hold> {
    let most = |hold: &&Hold| hold.hold_ms.at_most.unwrap_or(f64::INFINITY);
    holds
        .into_iter()
        .filter(|hold| hold.mode == LockMode::AccessExclusiveLock)
        .max_by(|a, b| most(a).total_cmp(&most(b)))
}

fn paragraph(finding: &Finding, advice_is_told: bool, palette: Palette) -> String {
    let (label, tint) = match finding.level {
        Level::Fail => ("✗", anstyle::AnsiColor::Red),
        Level::Warn => ("!", anstyle::AnsiColor::Yellow),
    };
    let mut lines = finding.message.lines();
    let first = format!("{}: {}", finding.step, lines.next().unwrap_or(""));
    let mut text = format!("{} ", tinted(label, tint, palette));
    text.push_str(fill(&first, "  ").trim_start());
    for line in lines {
        text.push_str(&format!("\n  {line}"));
    }
    if let Some(advice) = &finding.advice {
        let advice = if advice_is_told { "as above" } else { advice };
        text.push('\n');
        text.push_str(&fill(&format!("→ {advice}"), "    "));
    }
    text.push('\n');
    text
}

fn closing(report: &Report, palette: Palette) -> String {
    let tint = match report.verdict {
        Verdict::Within => anstyle::AnsiColor::Green,
        Verdict::Exceeded | Verdict::Failed => anstyle::AnsiColor::Red,
        Verdict::Unproven | Verdict::NotRun => anstyle::AnsiColor::Yellow,
    };
    let budget = report
        .policy
        .budgets
        .iter()
        .find(|budget| budget.mode == LockMode::AccessExclusiveLock);
    let budget = budget.map_or_else(String::new, |budget| {
        format!("; budget of ACCESS EXCLUSIVE: {}", millis(budget.limit_ms))
    });
    let replays = match (report.run.repeat, report.run.replays) {
        (0 | 1, 0 | 1) => String::new(),
        (0 | 1, replays) => format!("; {replays} replays"),
        (repeat, replays) if repeat == replays => format!("; worst of {repeat}"),
        (repeat, replays) => format!("; worst of {repeat}, {replays} replays"),
    };
    let watched = report.sampling.as_ref().map_or_else(String::new, |s| {
        format!(
            "  watched by {} samples, gap p99 {}\n",
            count(s.samples),
            millis(s.gap_ms.p99)
        )
    });
    let beside = match report.run.neighbours {
        0 => String::new(),
        neighbours => format!(
            "  beside {}: holds may be shorter alone\n",
            text::scenarios_beside(neighbours)
        ),
    };
    let verdict = tinted(report.verdict.name(), tint, palette);
    // Only a recording can lack its end.
    let cut = match report.run.finished_at {
        Some(_) => "",
        None => "the recording was cut: the run did not end by itself\n",
    };
    format!("{cut}verdict: {verdict}{budget}{replays}\n{watched}{beside}")
}

pub(super) fn colour(verdict: Verdict) -> Color {
    match verdict {
        Verdict::Within => Color::Green,
        Verdict::Exceeded | Verdict::Failed => Color::Red,
        Verdict::Unproven => Color::Yellow,
        Verdict::NotRun => Color::DarkGrey,
    }
}

fn tinted(text: &str, tint: anstyle::AnsiColor, palette: Palette) -> String {
    match palette {
        Palette::Plain => text.to_owned(),
        Palette::Ansi => {
            let style = anstyle::Style::new().bold().fg_color(Some(tint.into()));
            format!("{style}{text}{style:#}")
        }
    }
}

/// Breaks a paragraph into lines of the report's width, each behind `indent`; a number stays with its unit.
pub(super) fn fill(paragraph: &str, indent: &str) -> String {
    let mut out = String::from(indent);
    let mut used = indent.chars().count();
    let mut first = true;
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    for word in words.chunk_by(|number, unit| is_number_of(number, unit)) {
        let word = word.join(" ");
        let width = word.chars().count();
        if !first && used + 1 + width > usize::from(WIDTH) {
            out.push('\n');
            out.push_str(indent);
            used = indent.chars().count();
        } else if !first {
            out.push(' ');
            used += 1;
        }
        out.push_str(&word);
        used += width;
        first = false;
    }
    out
}

/// `52` and `ms`, `998` and `ms–1.00`, `2.79–2.80` and `s,`.
fn is_number_of(number: &str, unit: &str) -> bool {
    let letters = unit.split(|c: char| !c.is_alphabetic()).next();
    number.ends_with(|c: char| c.is_ascii_digit())
        && letters.is_some_and(|unit| ["ms", "s", "B", "kB", "MB", "GB", "TB"].contains(&unit))
}

pub(super) fn millis(ms: f64) -> String {
    text::time(duration(ms))
}

/// From a number of the report.
pub(super) fn duration(ms: f64) -> std::time::Duration {
    std::time::Duration::try_from_secs_f64(ms / 1e3).unwrap_or(std::time::Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_with_its_unit() {
        let words = "x".repeat(71);
        assert_eq!(
            fill(&format!("{words} took 998 ms–1.00 s, then"), "  "),
            format!("  {words} took\n  998 ms–1.00 s, then")
        );
        assert!(!is_number_of("4", "steps") && !is_number_of("a", "s"));
    }
}
