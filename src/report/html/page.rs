//! The report in the words and the order of a page.

use std::collections::BTreeMap;

use serde::Serialize;

use super::near::{Near, near};
use super::overview;
use super::overview::{Width, class};
use super::rich::{Rich, rich};
use super::shape::Figure;
use super::tables::{self, StepRow, TrafficRow};
use crate::judge::Verdict;
use crate::plan::{Arrivals, Begins, Increase, Level, Load};
use crate::recording::traffic::lost;
use crate::report::model::impact::{Disturbance, Impact, Traffic};
use crate::report::model::{Finding, Report, Span, Step};
use crate::report::shown::{self, span};
use crate::report::table::{longest_of, millis, snapshot_line, stage_line};
use crate::report::text::{count, time};
use crate::report::{fidelity, repeats};

/// So many holds of all steps together are listed.
const HOLDS: usize = 1_000;

/// One report.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub id: String,
    pub scenario: String,
    pub verdict: Word,
    pub why: Rich,
    pub advice: Option<Rich>,
    pub tiles: Vec<Tile>,
    pub facts: Vec<(String, Rich)>,
    pub overview: Option<Figure>,
    pub findings: Vec<Said>,
    pub steps: Vec<StepRow>,
    pub repeats: Option<String>,
    pub near: Vec<Near>,
    pub traffic: Vec<TrafficRow>,
    pub disturbances: Vec<[String; 5]>,
    pub budgets: Vec<[String; 3]>,
    pub settings: BTreeMap<String, String>,
    pub limits: Vec<Rich>,
}

/// A verdict: its word, its sign and its colour's class.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Word {
    pub class: String,
    pub sign: &'static str,
    pub text: &'static str,
}

/// A figure that stands out.
#[derive(Debug, Serialize)]
pub(super) struct Tile {
    pub value: String,
    pub label: String,
    pub note: String,
}

/// A finding.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub class: &'static str,
    pub sign: &'static str,
    pub level: &'static str,
    pub step: String,
    pub message: Vec<Rich>,
    pub advice: Option<Rich>,
}

impl Word {
    pub fn of(verdict: Verdict) -> Self {
        let (sign, text) = match verdict {
            Verdict::Within => ("✓", "Within"),
            Verdict::Exceeded => ("✗", "Exceeded"),
            Verdict::Failed => ("✗", "Failed"),
            Verdict::Unproven => ("?", "Unproven"),
            Verdict::NotRun => ("–", "Not run"),
        };
        Self {
            class: class(verdict),
            sign,
            text,
        }
    }
}

impl View {
    pub fn of(report: &Report, id: &str) -> Self {
        let mut room = HOLDS;
        Self {
            id: id.to_owned(),
            scenario: report.scenario.name.clone(),
            verdict: Word::of(report.verdict),
            why: rich(&shown::upper(&shown::why(report))),
            advice: shown::decisive(report)
                .and_then(|finding| finding.advice.as_deref())
                .map(rich),
            tiles: tiles(report),
            facts: facts(report),
            overview: overview::figure(report, id, Width::Whole),
            findings: shown::findings(report)
                .iter()
                .map(|finding| said(finding))
                .collect(),
            steps: tables::steps(report, id),
            repeats: repeats::render(report),
            near: report
                .steps
                .iter()
                .enumerate()
                .map(|(index, step)| near(report, step, index, id, &mut room))
                .collect(),
            traffic: tables::traffic(report),
            disturbances: report
                .disturbances
                .iter()
                .map(|d| disturbance(report, d))
                .collect(),
            budgets: budgets(report),
            settings: report
                .stage
                .as_ref()
                .map(|stage| stage.settings.clone())
                .unwrap_or_default(),
            limits: report.limits.iter().map(|limit| rich(limit)).collect(),
        }
    }
}

fn tiles(report: &Report) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let budget = shown::budget(report);
    let holds = || report.steps.iter().flat_map(|step| &step.holds);
    tiles.push(Tile {
        value: longest_of(holds())
            .map_or_else(|| "none seen".to_owned(), |hold| span(hold.hold_ms)),
        label: "longest ACCESS EXCLUSIVE hold".to_owned(),
        note: budget.map_or_else(String::new, |budget| format!("budget {budget}")),
    });
    let worst = |span: &Span| span.at_most.unwrap_or(f64::INFINITY);
    let queues = || report.steps.iter().filter_map(|step| step.queue.as_ref());
    let exclusion = queues()
        .filter_map(|queue| queue.exclusion_ms)
        .max_by(|a, b| worst(a).total_cmp(&worst(b)));
    if let Some(exclusion) = exclusion {
        tiles.push(Tile {
            value: span(exclusion),
            label: "longest exclusion in a step".to_owned(),
            note: "from asked for to released".to_owned(),
        });
    }
    let blocked = report
        .steps
        .iter()
        .map(shown::blocked)
        .fold(0, u64::saturating_add);
    let deepest = queues().map(|queue| queue.deepest).max().unwrap_or(0);
    tiles.push(Tile {
        value: count(blocked),
        label: "waits behind the migration".to_owned(),
        note: match deepest {
            0 => String::new(),
            deepest => format!("at most {} at once", count(deepest)),
        },
    });
    if report.traffic.is_some() {
        let of_steps = report.steps.iter().flat_map(|step| &step.traffic);
        let (lost, asked) = of_steps.fold((0_u64, 0_u64), |(sum, asked), traffic| {
            (
                sum.saturating_add(lost(&traffic.endings)),
                asked.saturating_add(traffic.requests),
            )
        });
        tiles.push(Tile {
            value: count(lost),
            label: "requests lost during steps".to_owned(),
            note: format!("of {}", count(asked)),
        });
    }
    tiles
}

fn facts(report: &Report) -> Vec<(String, Rich)> {
    let mut facts = Vec::new();
    let mut push = |name: &str, text: String| facts.push((name.to_owned(), rich(&text)));
    if let (Some(line), Some(snapshot)) = (snapshot_line(report), &report.snapshot) {
        let warmth = report.stage.as_ref().and_then(|stage| stage.warmth);
        let more = fidelity::line(snapshot, warmth);
        push(
            "Snapshot",
            more.map_or_else(|| line.clone(), |more| format!("{line}; {more}")),
        );
        for reach in fidelity::reaches(snapshot) {
            push("Can reach out", reach);
        }
    }
    if let Some(line) = stage_line(report) {
        push("Stage", line);
    }
    if let Some(traffic) = &report.traffic {
        push("Traffic", load(traffic));
    }
    let replays = match (report.run.repeat, report.run.replays) {
        (0 | 1, 0 | 1) => String::new(),
        (0 | 1, replays) => format!("; {replays} replays"),
        (repeat, replays) => format!("; worst of {repeat}, {replays} replays"),
    };
    let ended = match &report.run.finished_at {
        Some(_) => "",
        None => "; the recording was cut: the run did not end by itself",
    };
    push(
        "Run",
        format!(
            "{}, {}{replays}{ended}",
            report.run.id,
            report.run.started_at.replace('T', " ")
        ),
    );
    if let Some(sampling) = &report.sampling {
        push(
            "Watched by",
            format!(
                "{} samples, gap p99 {}, longest {}{}",
                count(sampling.samples),
                millis(sampling.gap_ms.p99),
                millis(sampling.gap_ms.max),
                if sampling.blind_ms_max > 0.0 {
                    let most = millis(sampling.blind_ms_max.max(0.01));
                    format!("; no lock longer than {most} can have come and gone unseen")
                } else {
                    String::new()
                }
            ),
        );
    }
    facts
}

/// What was asked of the server, and how well the generator kept to it.
fn load(traffic: &Traffic) -> String {
    let asked = match traffic.load {
        Load::Open { rate, arrivals } => format!(
            "{rate} requests a second, {}",
            match arrivals {
                Arrivals::Poisson => "by chance",
                Arrivals::Uniform => "evenly",
            }
        ),
        Load::Closed { clients, think } => {
            format!("{clients} clients, {} between their requests", time(think))
        }
    };
    let front = traffic.front;
    let mut parts = vec![
        format!("{} operations, {asked}", traffic.operations.len()),
        format!(
            "a pool of {}, {} for a connection and {} for an answer",
            front.pool,
            time(front.acquire_timeout),
            time(front.request_timeout)
        ),
    ];
    parts.extend(
        traffic
            .rate
            .map(|rate| format!("{rate:.1} a second were begun")),
    );
    let late = traffic.lateness_ms;
    parts.extend(late.map(|late| format!("the generator was late by {} (p99)", millis(late.p99))));
    parts.join("; ")
}

fn said(finding: &Finding) -> Said {
    let (class, sign, level) = match finding.level {
        Level::Fail => ("exceeded", "✗", "fails"),
        Level::Warn => ("unproven", "!", "warning"),
    };
    Said {
        class,
        sign,
        level,
        step: finding.step.clone(),
        message: finding.message.lines().map(rich).collect(),
        advice: finding.advice.as_deref().map(rich),
    }
}

fn disturbance(report: &Report, disturbance: &Disturbance) -> [String; 5] {
    let begins = match disturbance.begins {
        Begins::After(after) => format!("{} after the start", time(after)),
        Begins::With(step) => match report.steps.get(step) {
            Some(step) => format!("with {}", step.name),
            None => format!("with step {}", step + 1),
        },
    };
    [
        disturbance.name.clone(),
        disturbance.kind.clone(),
        begins,
        disturbance
            .began_ms
            .map_or_else(|| "never".to_owned(), millis),
        match (&disturbance.error, disturbance.ended_ms) {
            (Some(error), _) => error.clone(),
            (None, Some(ended)) => millis(ended),
            (None, None) => "with the replay".to_owned(),
        },
    ]
}

fn budgets(report: &Report) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    let scope =
        |step: Option<&Step>| step.map_or_else(|| "all steps".to_owned(), |s| s.name.clone());
    let level = |level: Level| match level {
        Level::Fail => "fails",
        Level::Warn => "warns",
    };
    let own = report
        .steps
        .iter()
        .map(|step| (Some(step), &step.budgets, &step.impact));
    let all = std::iter::once((None, &report.policy.budgets, &report.policy.impact)).chain(own);
    for (step, budgets, impact) in all {
        for budget in budgets {
            let reason = budget.reason.as_ref();
            rows.push([
                scope(step),
                format!("{} held", budget.mode.sql()),
                format!(
                    "{}, {}{}",
                    millis(budget.limit_ms),
                    level(budget.level),
                    reason.map_or_else(String::new, |reason| format!(": {reason}"))
                ),
            ]);
        }
        rows.extend(
            impact_rows(impact)
                .into_iter()
                .map(|(what, limit)| [scope(step), what.to_owned(), limit]),
        );
    }
    rows
}

fn impact_rows(impact: &Impact) -> Vec<(&'static str, String)> {
    let increase = impact.p99_increase.map(|increase| match increase {
        Increase::By(most) => time(most),
        Increase::Percent(percent) => format!("{percent} %"),
    });
    [
        (
            "ACCESS EXCLUSIVE from asked for to released",
            impact.exclusion_ms.map(millis),
        ),
        (
            "waits behind the migration",
            impact.blocked_requests.map(count),
        ),
        ("the longest such wait", impact.victim_wait_ms.map(millis)),
        ("growth of any operation's p99", increase),
        (
            "requests that timed out or were refused",
            impact.timeouts.map(count),
        ),
    ]
    .into_iter()
    .filter_map(|(what, limit)| Some((what, limit?)))
    .collect()
}
