//! The report as Markdown, for a comment on a change: the verdict and the steps first, everything else folded.
//!
//! A hidden line says whose report it is, so that a program can find its comment and put the new one in place.

use super::model::{Finding, Report, Step};
use super::{shown, table};
use crate::judge::Verdict;
use crate::plan::Level;

/// A comment on GitHub has at most so many characters; other places take more.
pub const LONGEST: usize = 65_536;

/// So much is kept for what says that something was left out.
const RESERVE: usize = 400;

/// So much of a name or a statement is shown in a cell.
const CELL: usize = 80;

/// So much of a finding is shown.
const MESSAGE: usize = 2_000;

/// Renders the report, never longer than [`LONGEST`].
pub fn render(report: &Report) -> String {
    let mut comment = Comment::default();
    comment.push(&head(report));
    comment.rows(
        "| step | ACCESS EXCLUSIVE hold | exclusion | blocked | verdict |\n|:--|--:|--:|--:|:--|\n",
        "steps",
        report.steps.iter().map(row),
    );
    let findings = shown::findings(report);
    let (decisive, others): (Vec<&Finding>, Vec<&Finding>) = findings
        .iter()
        .map(AsRef::as_ref)
        .partition(|finding| finding.level == Level::Fail);
    // The first one is the head's.
    let told = shown::decisive(report);
    let more: Vec<&Finding> = decisive
        .into_iter()
        .filter(|finding| told.is_none_or(|told| !std::ptr::eq(told, *finding)))
        .collect();
    comment.list(None, "findings", more.into_iter().map(finding));
    comment.list(
        Some("Warnings"),
        "warnings",
        others.into_iter().map(finding),
    );
    comment.push(&environment(report));
    comment.list(
        Some("What this run cannot show"),
        "limits",
        report
            .limits
            .iter()
            .map(|limit| format!("- {}\n", prose(limit))),
    );
    comment.finish()
}

/// A text that knows how long it may get, and says what did not fit.
#[derive(Default)]
struct Comment {
    text: String,
    used: usize,
    left_out: Vec<String>,
}

impl Comment {
    /// True when it found room.
    fn push(&mut self, block: &str) -> bool {
        let length = block.chars().count();
        let fits = self.used + length <= LONGEST - RESERVE;
        if fits {
            self.text.push_str(block);
            self.used += length;
        }
        fits
    }

    fn rows(&mut self, head: &str, what: &str, rows: impl ExactSizeIterator<Item = String>) {
        if !self.push(head) {
            return;
        }
        self.each(what, rows);
        self.text.push('\n');
    }

    /// A list, folded behind its title if it has one.
    fn list(
        &mut self,
        title: Option<&str>,
        what: &str,
        items: impl ExactSizeIterator<Item = String>,
    ) {
        if items.len() == 0 {
            return;
        }
        if let Some(title) = title {
            let opened = format!("<details><summary>{title} ({})</summary>\n\n", items.len());
            if !self.push(&opened) {
                self.left_out.push(format!("all {} {what}", items.len()));
                return;
            }
        }
        self.each(what, items);
        // Within the reserve: what was opened is closed.
        self.text.push_str(if title.is_some() {
            "\n</details>\n\n"
        } else {
            "\n"
        });
    }

    fn each(&mut self, what: &str, mut items: impl ExactSizeIterator<Item = String>) {
        let count = items.len();
        let fitted = items.by_ref().take_while(|item| self.push(item)).count();
        if fitted < count {
            self.left_out
                .push(format!("{} of {count} {what}", count - fitted));
        }
    }

    fn finish(mut self) -> String {
        if !self.left_out.is_empty() {
            self.text.push_str(&format!(
                "_Left out for want of room: {}. The JSON report has everything._\n",
                self.left_out.join(", ")
            ));
        }
        shown::visible(&self.text)
    }
}

fn head(report: &Report) -> String {
    let budget = shown::budget(report).map_or_else(String::new, |budget| {
        format!(" Budget of ACCESS EXCLUSIVE: {budget}.")
    });
    let advice = shown::decisive(report).and_then(|finding| finding.advice.as_ref());
    let advice = advice.map_or_else(String::new, |advice| format!("→ {}\n\n", prose(advice)));
    format!(
        "<!-- lockproof: {} -->\n### {} lockproof: {} – {}\n\n{}.{budget}\n\n{advice}",
        hidden(&report.scenario.name),
        sign(report.verdict),
        report.verdict.name(),
        prose(&clip(&report.scenario.name, CELL)),
        prose(&clip(&shown::upper(&shown::why(report)), MESSAGE)),
    )
}

fn row(step: &Step) -> String {
    format!(
        "| {} | {} | {} | {} | {} {} |\n",
        prose(&clip(&step.name, CELL)),
        prose(&shown::hold(step)),
        prose(&shown::exclusion(step)),
        shown::blocked(step),
        sign(step.verdict),
        step.verdict.name(),
    )
}

fn finding(finding: &Finding) -> String {
    let label = match finding.level {
        Level::Fail => "❌",
        Level::Warn => "⚠️",
    };
    let mut item = format!(
        "- {label} **{}**: {}\n",
        prose(&clip(&finding.step, CELL)),
        prose(&clip(&finding.message, MESSAGE)),
    );
    if let Some(advice) = &finding.advice {
        item.push_str(&format!("  - → {}\n", prose(advice)));
    }
    item
}

fn environment(report: &Report) -> String {
    let mut lines = Vec::new();
    lines.extend(table::snapshot_line(report).map(|line| format!("snapshot {line}")));
    lines.extend(table::stage_line(report).map(|line| format!("stage: {line}")));
    let reaches = report.snapshot.as_ref().map(super::fidelity::reaches);
    lines.extend(
        reaches
            .into_iter()
            .flatten()
            .map(|line| format!("can reach out: {line}")),
    );
    lines.extend(report.sampling.as_ref().map(|sampling| {
        format!(
            "watched by {} samples, gap p99 {}",
            super::text::count(sampling.samples),
            table::millis(sampling.gap_ms.p99)
        )
    }));
    lines.push(format!(
        "lockproof {}, run {}, started {}",
        report.tool.version, report.run.id, report.run.started_at
    ));
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("- {}\n", prose(&clip(line, MESSAGE))))
        .collect();
    format!(
        "<details><summary>Where it ran</summary>\n\n{}\n</details>\n\n",
        lines.concat()
    )
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Within => "✅",
        Verdict::Exceeded | Verdict::Failed => "❌",
        Verdict::Unproven | Verdict::NotRun => "⚠️",
    }
}

fn clip(text: &str, width: usize) -> String {
    super::text::short(text, width)
}

/// As text of a comment, which ends with the first `-->`: a name keeps its single hyphens and ends nothing.
fn hidden(name: &str) -> String {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut name = name.replace(['<', '>'], "\u{fffd}");
    while name.contains("--") {
        name = name.replace("--", "-\u{fffd}");
    }
    name
}

/// On one line, with what stands between backticks as code, and nothing else that Markdown or HTML would read.
fn prose(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts: Vec<&str> = text.split('`').collect();
    // An odd one is no quotation: it is a letter like any other.
    let quoted = parts.len() % 2 == 1;
    let mut out = String::new();
    for (index, part) in parts.iter().enumerate() {
        match (quoted, index % 2) {
            // It stands for itself, but would end a cell of a table, or seem to escape what ends it.
            (true, 1) if !part.is_empty() && !part.contains('|') && !part.ends_with('\\') => {
                out.push('`');
                out.push_str(part);
                out.push('`');
            }
            (true, 1) => {
                out.push_str("<code>");
                escape(part, &mut out);
                out.push_str("</code>");
            }
            (true, _) => escape(part, &mut out),
            (false, _) => {
                if index > 0 {
                    out.push_str("\\`");
                }
                escape(part, &mut out);
            }
        }
    }
    out
}

/// ASCII punctuation may be escaped, and then it is itself.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // An entity, for a backslash keeps no cell of a table together in every reader.
            '|' => out.push_str("&#124;"),
            // It would call somebody of that name.
            '@' => out.push_str("@<!-- -->"),
            '\\' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
}
