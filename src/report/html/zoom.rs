//! One step, near enough that a lock of two milliseconds in a step of minutes has a length.

use std::collections::BTreeMap;

use super::axis::Axis;
use super::holds::{allowance, budget, draw, ends, surely_granted};
use super::shape::{Figure, Label, Lane, Place, Shape};
use super::{load, overview};
use crate::judge::Verdict;
use crate::pg::LockMode;
use crate::report::Report;
use crate::report::model::impact::Wait;
use crate::report::model::{Hold, Step};
use crate::report::shown::{short_mode, span};
use crate::report::table::millis;
use crate::report::text::{count, short};

/// So many relations have a strip.
const ROWS: usize = 16;

/// So many holds are drawn in one.
const BARS: usize = 120;

/// So many points a curve has at most.
const POINTS: usize = 120;

/// So many statements are drawn.
const STATEMENTS: usize = 60;

/// With more steps than this, of those that are within only the longest holds are drawn.
const MANY: usize = 12;

/// So many budgets are drawn in one strip.
const ALLOWANCES: usize = 8;

/// A budget is drawn to its end where that makes a hold at most so many times shorter.
const STRETCH: f64 = 12.0;

/// Draws it; None where nobody held, waited or stood behind.
pub(super) fn figure(report: &Report, step: &Step, id: &str) -> Option<Figure> {
    let started = step.started_ms?;
    let waits = step.queue.as_ref().map_or(&[][..], |queue| &queue.waits);
    let judged = step.holds.iter().any(|hold| hold.judged);
    if !judged && waits.is_empty() {
        return None;
    }
    let axis = Axis::around(window(report, step), started)?;
    let mut picture = Picture {
        report,
        step,
        axis,
        id,
        notes: Vec::new(),
    };
    let mut lanes = Vec::new();
    lanes.extend(statements(step, started, &axis));
    lanes.extend(picture.locks());
    lanes.extend(exclusion(report, step, &axis));
    let notes = &mut picture.notes;
    lanes.extend(overview::disturbances(&report.disturbances, &axis, notes));
    lanes.extend(load::traffic(report, &axis, POINTS, notes));
    lanes.extend(load::depth(std::iter::once(step), &axis));
    Some(Figure {
        id: id.to_owned(),
        about: format!(
            "{} from {} on, for {}: its locks, with bounds.",
            step.name,
            millis((axis.from - started).max(0.0)),
            millis(axis.to - axis.from)
        ),
        ticks: axis.ticks(),
        lanes,
        notes: picture.notes,
    })
}

/// From the first request of a lock to the last release, and as far as the budgets reach.
fn window(report: &Report, step: &Step) -> Vec<f64> {
    let judged = step.holds.iter().filter(|hold| hold.judged);
    let mut moments: Vec<f64> = judged
        .clone()
        .flat_map(|hold| <[f64; 2]>::from(ends(hold)))
        .collect();
    if let Some(queue) = &step.queue {
        for wait in &queue.waits {
            moments.extend([wait.asked_ms.at_least, waited_until(wait)]);
        }
        let depth = queue.depth.iter().filter(|(_, many)| *many > 0);
        moments.extend(depth.map(|(at, _)| *at));
    }
    let least = moments.iter().copied().fold(f64::INFINITY, f64::min);
    let most = moments.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let farthest = judged
        .filter_map(|hold| Some(surely_granted(hold) + budget(report, step, hold.mode)?.limit_ms))
        .filter(|end| end - least <= (most - least) * STRETCH);
    moments.extend(farthest);
    moments
}

fn waited_until(wait: &Wait) -> f64 {
    wait.asked_ms.at_least + wait.waited_ms.at_most.unwrap_or(wait.waited_ms.at_least)
}

fn statements(step: &Step, started: f64, axis: &Axis) -> Option<Lane> {
    let label = Label {
        text: "statements".to_owned(),
        note: format!(
            "{} sent",
            count(u64::try_from(step.statements.len()).unwrap_or(u64::MAX))
        ),
        ..Label::default()
    };
    let mut lane = Lane::new(label, 26);
    let shapes = step.statements.iter().filter_map(|statement| {
        let from = started + statement.started_ms;
        let place = Place {
            from,
            to: from + statement.elapsed_ms.unwrap_or(0.0),
            y: 4.0,
            height: 18.0,
        };
        let took = statement
            .elapsed_ms
            .map_or_else(|| "no answer came".to_owned(), millis);
        let title = format!("{}\n{took}", short(&statement.sql, 300));
        let class = if statement.error.is_some() {
            "statement wrong"
        } else {
            "statement"
        };
        let bar = Shape::bar(axis, place, class, &title)?;
        Some(bar.lettered(short(&statement.sql, 100)))
    });
    lane.shapes.extend(shapes.take(STATEMENTS));
    (!lane.shapes.is_empty()).then_some(lane)
}

/// What is drawn, and on what.
struct Picture<'a> {
    report: &'a Report,
    step: &'a Step,
    axis: Axis,
    id: &'a str,
    notes: Vec<String>,
}

/// The locks of one mode on one relation.
#[derive(Default)]
struct Row<'a> {
    held: Vec<(usize, &'a Hold)>,
    waits: Vec<&'a Wait>,
}

impl Row<'_> {
    fn longest(&self) -> f64 {
        let least = self.held.iter().map(|(_, hold)| hold.hold_ms.at_least);
        least.fold(0.0, f64::max)
    }
}

impl<'a> Picture<'a> {
    /// A strip for each mode and relation, the strongest and longest first.
    fn locks(&mut self) -> Vec<Lane> {
        let mut rows: BTreeMap<(LockMode, &str), Row<'_>> = BTreeMap::new();
        for (index, hold) in self.step.holds.iter().enumerate() {
            let (from, to) = ends(hold);
            if self.axis.shows(from, to) {
                let row = rows.entry((hold.mode, &hold.relation)).or_default();
                row.held.push((index, hold));
            }
        }
        for wait in self.step.queue.iter().flat_map(|queue| &queue.waits) {
            let relation = wait.relation.as_deref().unwrap_or("something else");
            rows.entry((wait.mode, relation))
                .or_default()
                .waits
                .push(wait);
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by(|((a, _), row), ((b, _), other)| {
            b.cmp(a).then(other.longest().total_cmp(&row.longest()))
        });
        // Of a step that is within, whatever is long enough to be seen will do.
        let most = if self.step.verdict == Verdict::Within && self.report.steps.len() > MANY {
            ROWS / 4
        } else {
            ROWS
        };
        if rows.len() > most {
            let hidden: usize = rows.drain(most..).map(|(_, row)| row.held.len()).sum();
            self.notes.push(format!(
                "{} more holds, on other relations and none longer in its mode, are not drawn.",
                count(u64::try_from(hidden).unwrap_or(u64::MAX))
            ));
        }
        rows.into_iter()
            .map(|((mode, relation), row)| self.row(mode, relation, row))
            .collect()
    }

    fn row(&mut self, mode: LockMode, relation: &str, mut row: Row<'a>) -> Lane {
        let limit = budget(self.report, self.step, mode).map(|budget| budget.limit_ms);
        let short = short_mode(mode);
        let label = Label {
            badge: Some((short.to_owned(), format!("m-{}", short.to_lowercase()))),
            text: relation.to_owned(),
            note: note(&row, limit),
            name: true,
        };
        let mut lane = Lane::new(label, 40);
        for wait in &row.waits {
            let place = Place {
                from: wait.asked_ms.at_least,
                to: waited_until(wait),
                y: 8.0,
                height: 16.0,
            };
            lane.shapes
                .extend(Shape::bar(&self.axis, place, "wait", &waited(wait)));
        }
        if row.held.len() > BARS {
            self.notes.push(format!(
                "Of {} holds on {relation}, the {BARS} longest are drawn.",
                row.held.len()
            ));
            row.held
                .sort_by(|a, b| b.1.hold_ms.at_least.total_cmp(&a.1.hold_ms.at_least));
            row.held.truncate(BARS);
        }
        // Of many, one under the other would be a carpet.
        if row.held.len() <= ALLOWANCES
            && let Some(limit) = limit
        {
            let drawn = row
                .held
                .iter()
                .flat_map(|(_, hold)| allowance(&self.axis, hold, limit, 32.0));
            lane.shapes.extend(drawn);
        }
        for (index, hold) in row.held {
            let link = format!("#{}-hold{}", self.id, index + 1);
            let drawn = draw(&self.axis, self.step, hold, limit, (8.0, 16.0), &link);
            lane.shapes.extend(drawn);
        }
        lane
    }
}

fn note(row: &Row<'_>, limit: Option<f64>) -> String {
    let longest = row
        .held
        .iter()
        .max_by(|a, b| a.1.hold_ms.at_least.total_cmp(&b.1.hold_ms.at_least));
    let held = match (longest, row.held.len()) {
        (None, _) => return "asked for, not granted".to_owned(),
        (Some((_, hold)), 1) => span(hold.hold_ms),
        (Some((_, hold)), many) => format!("{many} holds, the longest {}", span(hold.hold_ms)),
    };
    limit.map_or_else(
        || held.clone(),
        |limit| format!("{held} of {}", millis(limit)),
    )
}

/// From asked for to released: for so long a relation was shut to everybody.
fn exclusion(report: &Report, step: &Step, axis: &Axis) -> Option<Lane> {
    let queue = step.queue.as_ref()?;
    let limit = step
        .impact
        .exclusion_ms
        .or(report.policy.impact.exclusion_ms);
    let whole = queue.exclusion_ms?;
    let label = Label {
        text: "shut to everybody".to_owned(),
        note: match limit {
            Some(limit) => format!(
                "{} of {}, from asked for to released",
                span(whole),
                millis(limit)
            ),
            None => format!("{}, from asked for to released", span(whole)),
        },
        ..Label::default()
    };
    let mut lane = Lane::new(label, 40);
    for exclusion in queue.exclusions.iter().take(BARS) {
        let from = exclusion
            .asked_ms
            .at_most
            .unwrap_or(exclusion.asked_ms.at_least);
        let to = from + exclusion.lasted_ms.at_least;
        let title = format!(
            "{} was shut to everybody for {}\n{} waited",
            exclusion.relation,
            span(exclusion.lasted_ms),
            count(exclusion.blocked)
        );
        let at = |from: f64, to: f64| Place {
            from,
            to,
            y: 8.0,
            height: 16.0,
        };
        lane.shapes
            .extend(Shape::bar(axis, at(from, to), "exclusion", &title));
        if let Some(limit) = limit {
            if to > from + limit {
                lane.shapes
                    .extend(Shape::bar(axis, at(from + limit, to), "over", ""));
            }
            lane.shapes
                .extend(Shape::level(axis, from, from + limit, 32.0, "budget"));
            lane.shapes
                .extend(Shape::upright(axis, from + limit, 28.0, 36.0, "budget"));
        }
    }
    Some(lane)
}

fn waited(wait: &Wait) -> String {
    let mut lines = vec![format!(
        "waited {} for {}{}",
        span(wait.waited_ms),
        wait.mode.sql(),
        if wait.granted { "" } else { ", and gave up" }
    )];
    lines.push(short(&wait.statement, 200));
    lines.extend(
        wait.behind
            .iter()
            .take(3)
            .map(|stander| format!("behind {}: {}", stander.who, short(&stander.query, 100))),
    );
    lines.join("\n")
}
