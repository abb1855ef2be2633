//! A step from near, in words: its picture, its locks, who stood behind it, what was sent.

use serde::Serialize;

use super::page::Word;
use super::rich::{Rich, rich};
use super::shape::Figure;
use super::tables::{self, HoldRow};
use super::zoom;
use crate::report::model::{Report, Step};
use crate::report::shown::span;
use crate::report::table::millis;
use crate::report::text::{count, short};

/// So many holds of one step are listed.
const HOLDS: usize = 100;

/// So many statements and waiting sessions of one step are listed.
const LISTED: usize = 30;

/// A step from near.
#[derive(Debug, Serialize)]
pub(super) struct Near {
    pub anchor: String,
    pub number: usize,
    pub name: String,
    pub verdict: Word,
    pub summary: Rich,
    pub figure: Option<Figure>,
    pub holds: Vec<HoldRow>,
    /// What the list of holds leaves out.
    pub left_out: String,
    pub blocked: Vec<[String; 3]>,
    pub victim: Option<Rich>,
    pub statements: Vec<[String; 4]>,
    pub more_statements: usize,
}

/// Tells of it; `room` is how many holds may still be listed.
pub(super) fn near(report: &Report, step: &Step, index: usize, id: &str, room: &mut usize) -> Near {
    let anchor = format!("{id}-step{}", index + 1);
    let all = tables::holds(step, &anchor);
    let shown = all.len().min(HOLDS).min(*room);
    *room -= shown;
    let left_out = match all.len() - shown {
        0 => String::new(),
        more => format!(
            "The {shown} longest of {} are listed; the report as JSON has the other {}.",
            count(all.len() as u64),
            count(more as u64)
        ),
    };
    let victim = step.queue.as_ref().and_then(|queue| queue.victim.as_ref());
    Near {
        number: index + 1,
        name: step.name.clone(),
        verdict: Word::of(step.verdict),
        summary: rich(&summary(step)),
        figure: zoom::figure(report, step, &anchor),
        holds: all.into_iter().take(shown).collect(),
        left_out,
        blocked: step
            .blocked
            .iter()
            .take(LISTED)
            .map(|blocked| {
                [
                    short(&blocked.query, 300),
                    span(blocked.waited_ms),
                    short(&blocked.behind, 300),
                ]
            })
            .collect(),
        victim: victim.map(|victim| {
            let chain: Vec<String> = victim
                .chain
                .iter()
                .map(|stander| format!("{} (`{}`)", stander.who, short(&stander.query, 120)))
                .collect();
            rich(&format!(
                "{} waited longest, {}: `{}`, behind {}",
                victim.session.who,
                span(victim.waited_ms),
                short(&victim.session.query, 120),
                chain.join(", behind ")
            ))
        }),
        statements: step
            .statements
            .iter()
            .take(LISTED)
            .map(|statement| {
                [
                    short(&statement.sql, 400),
                    millis(statement.started_ms),
                    statement.elapsed_ms.map_or_else(|| "–".to_owned(), millis),
                    statement
                        .error
                        .clone()
                        .unwrap_or_else(|| count(statement.rows)),
                ]
            })
            .collect(),
        more_statements: step.statements.len().saturating_sub(LISTED),
        anchor,
    }
}

/// What of the step no table has.
fn summary(step: &Step) -> String {
    let mut parts = Vec::new();
    if let Some(batches) = &step.batches {
        parts.push(format!(
            "{} batches, {} rows, {} each at first and {} at last",
            count(batches.count),
            count(batches.rows),
            millis(batches.early_ms),
            millis(batches.late_ms)
        ));
    }
    if let Some(command) = &step.command {
        let status = command
            .exit_status
            .map_or_else(|| "a signal".to_owned(), |s| s.to_string());
        parts.push(format!(
            "`{}` ended with {status}",
            short(&command.argv.join(" "), 200)
        ));
    }
    if step.attempts > 1 {
        parts.push(format!("{} attempts", step.attempts));
    }
    if let Some(downtime) = step.queue.as_ref().and_then(|queue| queue.downtime_ms) {
        parts.push(format!(
            "no request on a relation could finish for {}",
            span(downtime)
        ));
    }
    for relation in &step.evidence.rewritten {
        parts.push(format!("`{relation}` was rewritten"));
    }
    for scan in &step.evidence.scanned {
        parts.push(format!(
            "{} rows of `{}` were scanned",
            count(scan.rows),
            scan.relation
        ));
    }
    if step.ignored_holds > 0 {
        parts.push(format!(
            "{} locks on what it made itself",
            count(step.ignored_holds)
        ));
    }
    if !step.foreign_holds.is_empty() {
        parts.push(format!("{} locks of others", step.foreign_holds.len()));
    }
    parts.join("; ")
}
