//! The whole replay on one axis: steps, locks, who was in the way, and what applications felt.

use super::axis::Axis;
use super::holds::{breaks, budget, ends};
use super::load;
use super::shape::{Figure, Label, Lane, Place, Shape};
use crate::pg::LockMode;
use crate::report::Report;
use crate::report::model::impact::Disturbance;
use crate::report::model::{Hold, Step};
use crate::report::shown::{short_mode, span};
use crate::report::table::millis;
use crate::report::text::{count, short};

/// Bars closer than this, in percent of the width, are one.
const APART: f64 = 0.15;

/// How much room a picture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// All of the page's.
    Whole,
    /// That of one of several beside each other.
    Beside,
}

impl Width {
    /// So many points a curve has at most: with more it would be a smear.
    fn points(self) -> usize {
        match self {
            Self::Whole => 400,
            Self::Beside => 120,
        }
    }
}

/// So many disturbances have a strip.
const DISTURBANCES: usize = 12;

/// Draws it; None where no step was reached.
pub(super) fn figure(report: &Report, id: &str, width: Width) -> Option<Figure> {
    let axis = Axis::around(moments(report), 0.0)?;
    let mut notes = Vec::new();
    if report.run.replays > 1 {
        notes.push(
            "Each step is drawn as in the replay that decided it; its moments count from that replay's start."
                .to_owned(),
        );
    }
    let mut lanes = vec![steps(report, &axis, id)];
    lanes.extend(modes(report, &axis, id));
    lanes.extend(disturbances(&report.disturbances, &axis, &mut notes));
    lanes.extend(load::traffic(report, &axis, width.points(), &mut notes));
    lanes.extend(load::depth(report.steps.iter(), &axis));
    Some(Figure {
        id: format!("{id}-all"),
        about: format!(
            "Timeline of {}: {} steps over {}; the tables below have the same in numbers.",
            report.scenario.name,
            report.steps.len(),
            millis(axis.to - axis.from)
        ),
        ticks: axis.ticks(),
        lanes,
        notes,
    })
}

/// Every moment that the report knows.
fn moments(report: &Report) -> Vec<f64> {
    let mut moments = vec![0.0];
    for step in &report.steps {
        let Some(started) = step.started_ms else {
            continue;
        };
        moments.push(started);
        moments.extend(step.elapsed_ms.map(|elapsed| started + elapsed));
        for hold in &step.holds {
            let (from, to) = ends(hold);
            moments.extend([from, to]);
        }
        let depth = step.queue.iter().flat_map(|queue| &queue.depth);
        moments.extend(depth.map(|(at, _)| *at));
    }
    if let Some(traffic) = &report.traffic {
        moments.extend(traffic.slices.first().map(|slice| slice.from_ms));
        moments.extend(traffic.slices.last().map(|slice| slice.to_ms));
    }
    for disturbance in &report.disturbances {
        moments.extend(disturbance.began_ms);
        moments.extend(disturbance.ended_ms);
    }
    moments
}

fn steps(report: &Report, axis: &Axis, id: &str) -> Lane {
    let label = Label {
        text: "steps".to_owned(),
        ..Label::default()
    };
    let mut lane = Lane::new(label, 30);
    for (index, step) in report.steps.iter().enumerate() {
        let Some(from) = step.started_ms else {
            continue;
        };
        let place = Place {
            from,
            to: from + step.elapsed_ms.unwrap_or(0.0),
            y: 3.0,
            height: 24.0,
        };
        let took = step
            .elapsed_ms
            .map_or_else(|| "did not end".to_owned(), millis);
        let title = format!(
            "step {}: {}\n{took}, {}",
            index + 1,
            step.name,
            step.verdict.name()
        );
        let class = format!("step v-{}", class(step.verdict));
        let bar = Shape::bar(axis, place, &class, &title);
        let text = format!("{} {}", index + 1, short(&step.name, 40));
        lane.shapes.extend(bar.map(|bar| {
            bar.linked(format!("#{id}-step{}", index + 1))
                .lettered(text)
        }));
    }
    lane
}

/// A verdict as the name of a class.
pub(super) fn class(verdict: crate::judge::Verdict) -> String {
    verdict.name().replace(' ', "-")
}

/// A strip for each mode that was held, strongest first.
fn modes(report: &Report, axis: &Axis, id: &str) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for mode in LockMode::ALL.into_iter().rev() {
        let held: Vec<Bar<'_>> = report
            .steps
            .iter()
            .enumerate()
            .flat_map(|(index, step)| step.holds.iter().map(move |hold| (index, step, hold)))
            .filter(|(_, _, hold)| hold.mode == mode)
            .map(|(index, step, hold)| Bar::of(report, index, step, hold))
            .collect();
        if held.is_empty() {
            continue;
        }
        let short = short_mode(mode);
        let label = Label {
            badge: Some((short.to_owned(), format!("m-{}", short.to_lowercase()))),
            text: mode.sql().to_owned(),
            note: holds(held.len()),
            ..Label::default()
        };
        let mut lane = Lane::new(label, 30);
        for (from, to) in waits(&held) {
            let place = Place {
                from,
                to,
                y: 7.0,
                height: 16.0,
            };
            let title = format!("waiting for {}", mode.sql());
            lane.shapes.extend(Shape::bar(axis, place, "wait", &title));
        }
        let merged = merged(held, axis);
        lane.shapes
            .extend(merged.iter().filter_map(|bar| bar.shape(axis, id)));
        lanes.push(lane);
    }
    lanes
}

fn holds(many: usize) -> String {
    match many {
        1 => "1 hold".to_owned(),
        many => format!("{} holds", count(u64::try_from(many).unwrap_or(u64::MAX))),
    }
}

fn waits(held: &[Bar<'_>]) -> Vec<(f64, f64)> {
    let asked = held.iter().filter_map(|bar| {
        let asked = bar.longest.asked_at_ms?.at_least;
        Some((asked, bar.longest.granted_at_ms.at_least)).filter(|(from, to)| to > from)
    });
    let mut waits: Vec<(f64, f64)> = asked.collect();
    waits.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (from, to) in waits {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// Holds that the picture cannot tell apart.
struct Bar<'a> {
    from: f64,
    to: f64,
    step: usize,
    name: &'a str,
    longest: &'a Hold,
    many: usize,
    over: bool,
}

impl<'a> Bar<'a> {
    fn of(report: &Report, index: usize, step: &'a Step, hold: &'a Hold) -> Self {
        let budget = budget(report, step, hold.mode).filter(|_| hold.judged);
        Self {
            from: hold.granted_at_ms.at_least,
            to: ends(hold).1,
            step: index,
            name: &step.name,
            longest: hold,
            many: 1,
            over: budget.is_some_and(|budget| breaks(hold, budget.limit_ms)),
        }
    }

    fn shape(&self, axis: &Axis, id: &str) -> Option<Shape> {
        let mode = short_mode(self.longest.mode).to_lowercase();
        let over = if self.over { " broken" } else { "" };
        let longest = format!(
            "{}{} on {}, in {}{}",
            if self.many > 1 { "the longest " } else { "" },
            span(self.longest.hold_ms),
            self.longest.relation,
            self.name,
            if self.over { "; over its budget" } else { "" }
        );
        let title = match self.many {
            1 => longest,
            many => format!("{}\n{longest}", holds(many)),
        };
        let place = Place {
            from: self.from,
            to: self.to,
            y: 7.0,
            height: 16.0,
        };
        let bar = Shape::bar(axis, place, &format!("hold m-{mode}{over}"), &title)?;
        Some(bar.linked(format!("#{id}-step{}", self.step + 1)))
    }
}

fn merged<'a>(mut held: Vec<Bar<'a>>, axis: &Axis) -> Vec<Bar<'a>> {
    held.sort_by(|a, b| a.from.total_cmp(&b.from));
    let mut merged: Vec<Bar<'a>> = Vec::new();
    for bar in held {
        match merged.last_mut() {
            Some(last) if axis.x(bar.from) - axis.x(last.to) < APART => {
                last.many += bar.many;
                last.over |= bar.over;
                last.to = last.to.max(bar.to);
                if bar.longest.hold_ms.at_least > last.longest.hold_ms.at_least {
                    (last.longest, last.name, last.step) = (bar.longest, bar.name, bar.step);
                }
            }
            _ => merged.push(bar),
        }
    }
    merged
}

/// A strip for each that was in the way.
pub(super) fn disturbances(all: &[Disturbance], axis: &Axis, notes: &mut Vec<String>) -> Vec<Lane> {
    let mut shown = Vec::new();
    for disturbance in all {
        let Some(from) = disturbance.began_ms else {
            continue;
        };
        let to = disturbance.ended_ms.unwrap_or(axis.to);
        if axis.shows(from, to) {
            shown.push((
                disturbance,
                Place {
                    from,
                    to,
                    y: 6.0,
                    height: 14.0,
                },
            ));
        }
    }
    if shown.len() > DISTURBANCES {
        notes.push(format!(
            "{} more disturbances are in the table.",
            shown.len() - DISTURBANCES
        ));
        shown.truncate(DISTURBANCES);
    }
    shown
        .into_iter()
        .map(|(disturbance, place)| {
            let label = Label {
                text: disturbance.name.clone(),
                note: format!("in the way: {}", disturbance.kind),
                name: true,
                ..Label::default()
            };
            let mut lane = Lane::new(label, 26);
            let title = format!("{}: {}", disturbance.name, disturbance.kind);
            lane.shapes
                .extend(Shape::bar(axis, place, "disturbance", &title));
            lane
        })
        .collect()
}
