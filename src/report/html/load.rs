//! What applications felt, on the same axis: latencies, lost requests, and who stood behind the migration.

use std::fmt::Write;

use super::axis::Axis;
use super::shape::{Label, Lane, Legend, Place, Series, Shape};
use crate::report::Report;
use crate::report::model::Step;
use crate::report::model::impact::{Slice, SliceTraffic};
use crate::report::table::millis;
use crate::report::text::count;

/// So many operations have a curve; more could not be told apart.
const CURVES: usize = 5;

/// With fewer slices there is no curve.
const CURVE: usize = 4;

/// Heights, in pixels.
const LATENCY: u32 = 120;
const LOST: u32 = 44;
const DEPTH: u32 = 56;

/// Where a lane's drawing begins and ends: letters stand above and below.
const TOP: f64 = 8.0;

/// The lanes of traffic in this stretch of time, of so many points at most; and what is to be known of them.
pub(super) fn traffic(
    report: &Report,
    axis: &Axis,
    most: usize,
    notes: &mut Vec<String>,
) -> Vec<Lane> {
    let Some(traffic) = &report.traffic else {
        return Vec::new();
    };
    let shown: Vec<&Slice> = traffic
        .slices
        .iter()
        .filter(|slice| axis.shows(slice.from_ms, slice.to_ms))
        .collect();
    if shown.len() < CURVE {
        return Vec::new();
    }
    let every = shown.len().div_ceil(most);
    let points: Vec<Point> = shown.chunks(every).map(Point::of).collect();
    if every > 1 {
        notes.push(format!(
            "Each point of the traffic is the worst of {every} slices: the report as JSON has all of them."
        ));
    }
    let names: Vec<&str> = traffic
        .operations
        .iter()
        .map(|operation| operation.name.as_str())
        .collect();
    if names.len() > CURVES {
        notes.push(format!(
            "Curves are drawn of the {CURVES} operations with most requests, of {}; the table of traffic has all.",
            names.len()
        ));
    }
    [latency(&names, &points, axis), lost(&names, &points, axis)]
        .into_iter()
        .flatten()
        .collect()
}

/// Slices beside each other, the worst of each figure.
struct Point {
    from: f64,
    to: f64,
    operations: Vec<Option<SliceTraffic>>,
}

impl Point {
    fn of(slices: &[&Slice]) -> Self {
        let of = slices.iter().map(|slice| slice.operations.len()).max();
        let worst = |operation: usize| {
            slices
                .iter()
                .filter_map(|slice| *slice.operations.get(operation)?)
                .reduce(|a, b| SliceTraffic {
                    requests: a.requests.saturating_add(b.requests),
                    lost: a.lost.saturating_add(b.lost),
                    p50_ms: a.p50_ms.max(b.p50_ms),
                    p99_ms: a.p99_ms.max(b.p99_ms),
                })
        };
        Self {
            from: slices.first().map_or(0.0, |slice| slice.from_ms),
            to: slices.last().map_or(0.0, |slice| slice.to_ms),
            operations: (0..of.unwrap_or(0)).map(worst).collect(),
        }
    }

    fn middle(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    fn lost(&self) -> u64 {
        let lost = self.operations.iter().flatten().map(|traffic| traffic.lost);
        lost.fold(0, u64::saturating_add)
    }
}

/// The operations that have a curve, those with most requests first to be chosen, in their own order.
fn chosen(names: &[&str], points: &[Point]) -> Vec<usize> {
    let requests = |index: &usize| {
        let of = points
            .iter()
            .filter_map(|point| *point.operations.get(*index)?);
        of.map(|traffic| traffic.requests)
            .fold(0, u64::saturating_add)
    };
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(requests(index)));
    order.truncate(CURVES);
    order.sort_unstable();
    order
}

fn latency(names: &[&str], points: &[Point], axis: &Axis) -> Option<Lane> {
    let chosen = chosen(names, points);
    let of = |index: usize| {
        points
            .iter()
            .filter_map(move |point| *point.operations.get(index)?)
    };
    let all = || chosen.iter().flat_map(|index| of(*index));
    let least = all().map(|t| t.p50_ms).fold(f64::INFINITY, f64::min);
    let most = all().map(|t| t.p99_ms).fold(0.0, f64::max);
    if !least.is_finite() {
        return None;
    }
    let scale = Decades::around(least, most);
    let label = Label {
        text: "latency".to_owned(),
        note: "p99 thick, p50 thin; each step of the scale is ten times as long".to_owned(),
        ..Label::default()
    };
    let mut lane = Lane::new(label, LATENCY);
    for (y, text) in scale.lines() {
        lane.shapes
            .extend(Shape::level(axis, axis.from, axis.to, y, "grid"));
        lane.shapes.push(Shape::Text {
            x: 0.0,
            y: y - 3.0,
            class: "scale".to_owned(),
            text,
        });
    }
    for (place, index) in chosen.iter().enumerate() {
        let curve = |value: fn(SliceTraffic) -> f64| {
            let values = points.iter().map(|point| {
                let traffic = point.operations.get(*index).copied().flatten();
                (axis.x(point.middle()), traffic.map(|t| scale.y(value(t))))
            });
            path(values)
        };
        lane.series.push(Series {
            class: format!("curve thin op{place}"),
            d: curve(|traffic| traffic.p50_ms),
        });
        lane.series.push(Series {
            class: format!("curve op{place}"),
            d: curve(|traffic| traffic.p99_ms),
        });
        lane.legend.push(Legend {
            class: format!("curve op{place}"),
            text: names[*index].to_owned(),
        });
    }
    Some(lane)
}

/// A curve with gaps where there is no value.
fn path(values: impl Iterator<Item = (f64, Option<f64>)>) -> String {
    let mut d = String::new();
    let mut pen = 'M';
    for (x, y) in values {
        match y {
            Some(y) => {
                // Writing to a string never fails.
                let _ = write!(d, "{pen}{:.1} {y:.1}", x * 10.0);
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    d
}

fn lost(names: &[&str], points: &[Point], axis: &Axis) -> Option<Lane> {
    let most = points
        .iter()
        .map(Point::lost)
        .max()
        .filter(|most| *most > 0)?;
    let label = Label {
        text: "lost requests".to_owned(),
        note: format!(
            "timed out, refused or failed; the highest bar: {}",
            count(most)
        ),
        ..Label::default()
    };
    let mut lane = Lane::new(label, LOST);
    let bottom = f64::from(LOST) - 1.0;
    for point in points.iter().filter(|point| point.lost() > 0) {
        let height = (point.lost() as f64 / most as f64 * (bottom - TOP)).max(2.0);
        let parts: Vec<String> = names
            .iter()
            .zip(&point.operations)
            .filter_map(|(name, traffic)| Some((name, traffic.as_ref()?.lost)))
            .filter(|(_, lost)| *lost > 0)
            .map(|(name, lost)| format!("{name}: {}", count(lost)))
            .collect();
        let title = format!(
            "{} requests lost\n{}",
            count(point.lost()),
            parts.join("\n")
        );
        let place = Place {
            from: point.from,
            to: point.to,
            y: (bottom - height).round(),
            height: height.round(),
        };
        lane.shapes.extend(Shape::bar(axis, place, "lost", &title));
    }
    Some(lane)
}

/// How many stood behind the migration; None where nobody did in this stretch of time.
pub(super) fn depth<'a>(steps: impl Iterator<Item = &'a Step>, axis: &Axis) -> Option<Lane> {
    let mut changes: Vec<(f64, u64)> = Vec::new();
    for step in steps {
        let Some(queue) = &step.queue else { continue };
        changes.extend(&queue.depth);
        // Whoever still stood there at the end of the step did so until then, and the next begins anew.
        let ended = step
            .started_ms
            .zip(step.elapsed_ms)
            .map(|(from, took)| from + took);
        let open = queue.depth.last().filter(|(_, many)| *many > 0);
        changes.extend(open.map(|(at, _)| (ended.map_or(*at, |ended| ended.max(*at)), 0)));
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut seen = changes.iter().filter(|(at, _)| axis.shows(*at, *at));
    let deepest = seen
        .by_ref()
        .map(|(_, many)| *many)
        .max()
        .filter(|most| *most > 0)?;
    let label = Label {
        text: "waiting behind it".to_owned(),
        note: format!("sessions; at most {} at once", count(deepest)),
        ..Label::default()
    };
    let mut lane = Lane::new(label, DEPTH);
    lane.series.push(Series {
        class: "depth".to_owned(),
        d: outline(&changes, deepest, axis),
    });
    lane.shapes.push(Shape::Text {
        x: 0.0,
        y: TOP + 3.0,
        class: "scale".to_owned(),
        text: count(deepest),
    });
    Some(lane)
}

/// A flight of stairs, as high as the lane where `deepest` stood.
fn outline(changes: &[(f64, u64)], deepest: u64, axis: &Axis) -> String {
    let bottom = f64::from(DEPTH) - 1.0;
    let y = |many: u64| bottom - (many.min(deepest) as f64 / deepest as f64) * (bottom - TOP - 6.0);
    let mut d = format!("M0 {bottom:.1}");
    // Of many changes at one place a screen shows the highest and the last.
    let place = |at: f64| (axis.x(at) * 10.0).round();
    for at_once in changes.chunk_by(|a, b| place(a.0) == place(b.0)) {
        let highest = at_once.iter().map(|(_, many)| *many).max().unwrap_or(0);
        let (at, last) = at_once.last().copied().unwrap_or_default();
        let _ = write!(d, "H{:.0}V{:.1}V{:.1}", place(at), y(highest), y(last));
    }
    let _ = write!(d, "H1000V{bottom:.1}Z");
    d
}

/// A scale on which ten times as long is one line higher.
struct Decades {
    low: i32,
    high: i32,
}

impl Decades {
    fn around(least: f64, most: f64) -> Self {
        let low = least.max(0.01).log10().floor() as i32;
        let high = most.max(0.01).log10().ceil() as i32;
        Self {
            low,
            high: high.max(low + 1),
        }
    }

    fn y(&self, ms: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let share = (ms.max(0.01).log10() - low) / (high - low);
        let bottom = f64::from(LATENCY) - 2.0;
        bottom - share.clamp(0.0, 1.0) * (bottom - TOP - 6.0)
    }

    fn lines(&self) -> impl Iterator<Item = (f64, String)> {
        (self.low..=self.high).map(|power| {
            let ms = 10_f64.powi(power);
            let text = millis(ms).replace(".00 s", " s").replace(".0 ms", " ms");
            (self.y(ms), text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(from_ms: f64, p99_ms: f64, lost: u64) -> Slice {
        Slice {
            from_ms,
            to_ms: from_ms + 100.0,
            operations: vec![
                Some(SliceTraffic {
                    requests: 10,
                    lost,
                    p50_ms: 1.0,
                    p99_ms,
                }),
                None,
            ],
        }
    }

    #[test]
    fn slices_that_are_drawn_as_one_show_their_worst() {
        let slices = [
            slice(0.0, 3.0, 1),
            slice(100.0, 90.0, 0),
            slice(200.0, 4.0, 2),
        ];
        let point = Point::of(&slices.iter().collect::<Vec<_>>());
        assert_eq!((point.from, point.to, point.lost()), (0.0, 300.0, 3));
        let worst = point.operations[0].expect("requests");
        assert_eq!((worst.requests, worst.p99_ms), (30, 90.0));
        assert!(point.operations[1].is_none());
    }

    #[test]
    fn a_curve_has_a_gap_where_nothing_was_asked() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        let values = (0..).map(f64::from).zip(values);
        assert_eq!(path(values), "M0.0 1.0L10.0 2.0M30.0 3.0");
    }
    /// What falls at once is high at one place only, and low behind it.
    #[test]
    fn a_queue_that_empties_at_once_is_not_drawn_as_full() {
        let axis = Axis {
            from: 0.0,
            to: 1_000.0,
            origin: 0.0,
        };
        let changes = [(100.0, 10), (100.01, 1), (900.0, 0)];
        assert_eq!(
            outline(&changes, 10, &axis),
            "M0 55.0H100V14.0V50.9H900V55.0V55.0H1000V55.0Z"
        );
    }
}
