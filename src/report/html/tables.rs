//! The tables of the page: the same as the picture, in numbers.

use serde::Serialize;

use super::page::Word;
use crate::recording::traffic::{Ending, lost};
use crate::report::model::impact::{Latency, OperationTraffic};
use crate::report::model::{Hold, Report, Span, Step};
use crate::report::shown::{self, short_mode, span};
use crate::report::table::{longest_of, millis};
use crate::report::text::{count, short};

/// A step.
#[derive(Debug, Serialize)]
pub(super) struct StepRow {
    pub number: usize,
    pub anchor: String,
    pub name: String,
    pub kind: &'static str,
    pub time: String,
    pub hold: String,
    pub on: String,
    pub waits: String,
    pub exclusion: String,
    pub blocked: String,
    pub verdict: Word,
}

/// A hold.
#[derive(Debug, Serialize)]
pub(super) struct HoldRow {
    pub anchor: String,
    pub mode: &'static str,
    pub short: &'static str,
    pub class: String,
    pub relation: String,
    pub granted: String,
    pub released: String,
    pub held: String,
    pub waited: String,
    pub taken_by: String,
    pub lengthened_by: String,
    pub judged: bool,
}

/// How an operation fared in a stretch of time.
#[derive(Debug, Serialize)]
pub(super) struct TrafficRow {
    pub window: String,
    /// True where another stretch begins.
    pub first: bool,
    pub operation: String,
    pub requests: String,
    pub p50: String,
    pub p99: String,
    pub change: String,
    pub lost: String,
    pub endings: String,
}

pub(super) fn steps(report: &Report, id: &str) -> Vec<StepRow> {
    let rows = report.steps.iter().enumerate();
    rows.map(|(index, step)| {
        let longest = longest_of(&step.holds);
        let relation = longest.map(|hold| hold.parent.as_ref().unwrap_or(&hold.relation));
        StepRow {
            number: index + 1,
            anchor: format!("{id}-step{}", index + 1),
            name: step.name.clone(),
            kind: step.kind.name(),
            time: step.elapsed_ms.map_or_else(|| "–".to_owned(), millis),
            hold: shown::hold(step),
            on: relation.map_or_else(|| "–".to_owned(), Clone::clone),
            waits: waits(step),
            exclusion: shown::exclusion(step),
            blocked: count(shown::blocked(step)),
            verdict: Word::of(step.verdict),
        }
    })
    .collect()
}

/// The migration's own waits: how many, and the longest.
fn waits(step: &Step) -> String {
    let waits = step.queue.as_ref().map_or(&[][..], |queue| &queue.waits);
    let longest = waits
        .iter()
        .map(|wait| wait.waited_ms)
        .max_by(|a, b| a.at_least.total_cmp(&b.at_least));
    match longest {
        None => "–".to_owned(),
        Some(longest) if waits.len() == 1 => span(longest),
        Some(longest) => format!("{}, longest {}", waits.len(), span(longest)),
    }
}

/// The holds of a step: judged ones first, then the longest.
pub(super) fn holds(step: &Step, anchor: &str) -> Vec<HoldRow> {
    let started = step.started_ms.unwrap_or(0.0);
    let mut holds: Vec<(usize, &Hold)> = step.holds.iter().enumerate().collect();
    let most = |hold: &Hold| hold.hold_ms.at_most.unwrap_or(f64::INFINITY);
    holds.sort_by(|(_, a), (_, b)| {
        b.judged
            .cmp(&a.judged)
            .then(b.mode.cmp(&a.mode))
            .then(most(b).total_cmp(&most(a)))
    });
    let rows = holds.into_iter().map(|(index, hold)| HoldRow {
        anchor: format!("{anchor}-hold{}", index + 1),
        mode: hold.mode.sql(),
        short: short_mode(hold.mode),
        class: format!("m-{}", short_mode(hold.mode).to_lowercase()),
        relation: match &hold.parent {
            Some(table) => format!("{} (of {table})", hold.relation),
            None => hold.relation.clone(),
        },
        granted: since(started, hold.granted_at_ms),
        released: since(started, hold.released_at_ms),
        held: span(hold.hold_ms),
        waited: hold
            .asked_at_ms
            .map_or_else(|| "–".to_owned(), |_| span(hold.wait_ms)),
        taken_by: hold
            .granted_by
            .as_deref()
            .map_or_else(|| "–".to_owned(), |sql| short(sql, 300)),
        lengthened_by: match hold.lengthened_by.as_slice() {
            [] => "–".to_owned(),
            [one] => short(one, 300),
            [first, rest @ ..] => format!("{} and {} more", short(first, 300), rest.len()),
        },
        judged: hold.judged,
    });
    rows.collect()
}

/// A moment as it counts from the step's start, with its bounds.
fn since(started: f64, moment: Span) -> String {
    let from = |at: f64| (at - started).max(0.0);
    let moment = Span {
        at_least: from(moment.at_least),
        at_most: moment.at_most.map(from),
    };
    span(moment)
}

/// Before, at each step, and after.
pub(super) fn traffic(report: &Report) -> Vec<TrafficRow> {
    let Some(traffic) = &report.traffic else {
        return Vec::new();
    };
    let steps = report
        .steps
        .iter()
        .map(|step| (step.name.as_str(), &step.traffic));
    std::iter::once(("before", &traffic.baseline))
        .chain(steps)
        .chain([("after", &traffic.settle)])
        .flat_map(|(window, operations)| {
            operations
                .iter()
                .enumerate()
                .map(move |(index, traffic)| row(window, index == 0, traffic))
        })
        .collect()
}

fn row(window: &str, first: bool, traffic: &OperationTraffic) -> TrafficRow {
    let time = |of: fn(&Latency) -> f64| {
        let latency = traffic.latency_ms.as_ref();
        latency.map_or_else(|| "–".to_owned(), |latency| millis(of(latency)))
    };
    TrafficRow {
        window: window.to_owned(),
        first,
        operation: traffic.operation.clone(),
        requests: count(traffic.requests),
        p50: time(|latency| latency.p50),
        p99: time(|latency| latency.p99),
        change: traffic.change_ms.map_or_else(
            || "–".to_owned(),
            |change| {
                let sign = if change.p99 < 0.0 { "−" } else { "+" };
                format!("{sign}{}", millis(change.p99.abs()))
            },
        ),
        lost: count(lost(&traffic.endings)),
        endings: endings(traffic),
    }
}

fn endings(traffic: &OperationTraffic) -> String {
    let words = traffic.endings.iter().filter_map(|(ending, many)| {
        let word = match ending {
            Ending::Ok => return None,
            Ending::Slow => "slow",
            Ending::TimedOut => "timed out",
            Ending::Refused => "refused",
            Ending::Failed => "failed",
            Ending::Deadlocked => "deadlocked",
        };
        (*many > 0).then(|| format!("{} {word}", count(*many)))
    });
    let failures = traffic
        .failures
        .iter()
        .map(|(state, many)| format!("{state}: {}", count(*many)));
    let words: Vec<String> = words.chain(failures).collect();
    if words.is_empty() {
        "all answered".to_owned()
    } else {
        words.join(", ")
    }
}
