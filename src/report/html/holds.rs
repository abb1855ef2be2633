//! A hold as it is drawn and listed: what is certain of it, what is possible, and where its budget ends.

use super::axis::Axis;
use super::shape::{Place, Shape};
use crate::pg::LockMode;
use crate::report::model::impact::Wait;
use crate::report::model::{Budget, Hold, Report, Step};
use crate::report::shown::{short_mode, span};
use crate::report::table::millis;
use crate::report::text::short;

/// So much of a statement is told to who points at a bar.
const QUOTE: usize = 200;

/// From this width on, in percent of the picture, a bar has parts.
const PARTS: f64 = 0.5;

/// Who stood behind it is named up to so many.
const VICTIMS: usize = 3;

/// The budget of a mode in a step: its own, else the run's.
pub(super) fn budget<'a>(report: &'a Report, step: &'a Step, mode: LockMode) -> Option<&'a Budget> {
    let own = step.budgets.iter();
    own.chain(&report.policy.budgets)
        .find(|budget| budget.mode == mode)
}

/// The first and the last moment that a hold has anything to do with.
pub(super) fn ends(hold: &Hold) -> (f64, f64) {
    let from = hold
        .asked_at_ms
        .map_or(f64::INFINITY, |asked| asked.at_least);
    (from.min(hold.granted_at_ms.at_least), released(hold))
}

/// Until when it may have lasted; without an upper bound, until it was last seen.
fn released(hold: &Hold) -> f64 {
    let granted = hold
        .granted_at_ms
        .at_most
        .unwrap_or(hold.granted_at_ms.at_least);
    let seen = hold.released_at_ms.at_least.max(granted);
    hold.released_at_ms.at_most.unwrap_or(seen).max(seen)
}

/// From when the lock surely was held.
pub(super) fn surely_granted(hold: &Hold) -> f64 {
    hold.granted_at_ms
        .at_most
        .unwrap_or(hold.granted_at_ms.at_least)
}

/// True when it surely lasted longer than this.
pub(super) fn breaks(hold: &Hold, limit_ms: f64) -> bool {
    hold.hold_ms.at_least > limit_ms
}

/// What a hold is, in lines.
pub(super) fn title(step: &Step, hold: &Hold, limit: Option<f64>) -> String {
    let of = hold
        .parent
        .as_ref()
        .map_or_else(String::new, |table| format!(" (of {table})"));
    let mut lines = vec![
        format!("{} on {}{of}", hold.mode.sql(), hold.relation),
        format!("held {}", span(hold.hold_ms)),
    ];
    if let Some(limit) = limit {
        lines[1].push_str(&format!(", budget {}", millis(limit)));
    }
    if hold.asked_at_ms.is_some() {
        lines.push(format!("waited for {}", span(hold.wait_ms)));
    }
    lines.extend(
        hold.granted_by
            .iter()
            .map(|sql| format!("taken by {}", short(sql, QUOTE))),
    );
    let longer = hold.lengthened_by.first();
    lines.extend(longer.map(|sql| format!("still held during {}", short(sql, QUOTE))));
    lines.extend(victims(step));
    lines.join("\n")
}

/// Who stood behind the step meanwhile.
fn victims(step: &Step) -> Option<String> {
    let mut longest: Vec<_> = step.blocked.iter().collect();
    longest.sort_by(|a, b| b.waited_ms.at_least.total_cmp(&a.waited_ms.at_least));
    let named: Vec<String> = longest
        .iter()
        .take(VICTIMS)
        .map(|victim| {
            format!(
                "{} waited {}",
                short(&victim.query, 80),
                span(victim.waited_ms)
            )
        })
        .collect();
    (!named.is_empty()).then(|| {
        format!(
            "{} stood behind the step: {}",
            step.blocked.len(),
            named.join("; ")
        )
    })
}

/// Draws it between these two heights.
pub(super) fn draw(
    axis: &Axis,
    step: &Step,
    hold: &Hold,
    limit: Option<f64>,
    (y, height): (f64, f64),
    link: &str,
) -> Vec<Shape> {
    let mode = short_mode(hold.mode).to_lowercase();
    let title = title(step, hold, limit);
    let at = |from: f64, to: f64| Place {
        from,
        to,
        y,
        height,
    };
    let granted = hold.granted_at_ms;
    let (sure, until) = (surely_granted(hold), hold.released_at_ms.at_least);
    let last = released(hold);
    let mut shapes = Vec::new();
    // What is known of the queue is drawn from there, with more to tell.
    let told = step.queue.iter().any(|queue| {
        let same =
            |wait: &Wait| wait.mode == hold.mode && wait.relation.as_ref() == Some(&hold.relation);
        queue.waits.iter().any(same)
    });
    if let Some(asked) = hold.asked_at_ms.filter(|_| !told) {
        let wait = at(asked.at_least, granted.at_least.max(asked.at_least));
        let told = format!("waiting for {} on {}", hold.mode.sql(), hold.relation);
        shapes.extend(Shape::bar(axis, wait, "wait", &told));
    }
    // Of a bar that is a line anyway no parts can be seen.
    if axis.x(last) - axis.x(granted.at_least) < PARTS {
        let over = if limit.is_some_and(|limit| breaks(hold, limit)) {
            " broken"
        } else {
            ""
        };
        let class = format!("hold m-{mode}{over}");
        let bar = Shape::bar(axis, at(granted.at_least, last), &class, &title);
        shapes.extend(bar.map(|bar| bar.linked(link.to_owned())));
        return shapes;
    }
    let possible = Shape::bar(
        axis,
        at(granted.at_least, last),
        &format!("maybe m-{mode}"),
        &title,
    );
    shapes.extend(possible.map(|bar| bar.linked(link.to_owned())));
    if until > sure {
        shapes.extend(Shape::bar(
            axis,
            at(sure, until),
            &format!("sure m-{mode}"),
            "",
        ));
    }
    if let Some(limit) = limit
        && until > sure + limit
    {
        shapes.extend(Shape::bar(axis, at(sure + limit, until), "over", ""));
    }
    let middle = y + height / 2.0;
    let seen = |(from, to): &(f64, f64)| axis.x(*to) - axis.x(*from) > PARTS / 2.0;
    let ends = [(granted.at_least, sure), (until.min(last), last)];
    for (from, to) in ends.into_iter().filter(seen) {
        shapes.extend(Shape::level(axis, from, to, middle, "whisker"));
        for end in [from, to] {
            let cap = Shape::upright(axis, end, middle - 4.0, middle + 4.0, "whisker");
            shapes.extend(cap);
        }
    }
    shapes
}

/// How far the budget reaches from when the lock surely was held.
pub(super) fn allowance(axis: &Axis, hold: &Hold, limit: f64, y: f64) -> Vec<Shape> {
    let from = surely_granted(hold);
    let level = Shape::level(axis, from, from + limit, y, "budget");
    let end = Shape::upright(axis, from + limit, y - 4.0, y + 4.0, "budget");
    level.into_iter().chain(end).collect()
}
