//! Time across: where a moment lies in a picture, and what is written below it.

use serde::Serialize;

use crate::report::table::millis;

/// A stretch of time, in milliseconds from the start of the replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub from: f64,
    pub to: f64,
    /// What is called zero.
    pub origin: f64,
}

/// A mark below a picture.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tick {
    pub x: f64,
    pub text: String,
}

/// A mark from here on, in percent, is written to the left of its place, as the template has it.
const AT_THE_END: f64 = 92.0;

/// So many percent of a narrow picture are a letter.
const LETTER: f64 = 2.7;

impl Tick {
    /// In percent of a narrow picture.
    fn width(&self) -> f64 {
        LETTER * self.text.chars().count() as f64
    }
}

/// A round step is one of these times a power of ten.
const ROUND: [f64; 3] = [1.0, 2.0, 5.0];

/// Beyond this, minutes are counted, in these.
const MINUTES: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0];

/// A phone has room for so many.
const TICKS: f64 = 6.0;

impl Axis {
    /// Of all of these moments, with a little air on both sides; None without two different ones.
    pub fn around(moments: impl IntoIterator<Item = f64>, origin: f64) -> Option<Self> {
        let (from, to) = moments
            .into_iter()
            .filter(|moment| moment.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), moment| {
                (from.min(moment), to.max(moment))
            });
        let air = (to - from) / 50.0;
        (to > from).then_some(Self {
            from: from - air,
            to: to + air,
            origin,
        })
    }

    /// Percent from the left, within the picture.
    pub fn x(&self, moment: f64) -> f64 {
        let share = (moment - self.from) / (self.to - self.from);
        // Without the clamp a browser would have to draw what nobody sees.
        let x = (share * 100.0).clamp(0.0, 100.0);
        (x * 1e3).round() / 1e3
    }

    pub fn shows(&self, from: f64, to: f64) -> bool {
        to >= self.from && from <= self.to
    }

    /// Round moments, in order.
    pub fn ticks(&self) -> Vec<Tick> {
        let step = step((self.to - self.from) / TICKS);
        let first = ((self.from - self.origin) / step).ceil();
        let mut ticks: Vec<Tick> = (0..=(TICKS as u32 * 3))
            .map(|n| (first + f64::from(n)) * step)
            .take_while(|at| at + self.origin <= self.to)
            .map(|at| Tick {
                x: self.x(at + self.origin),
                text: moment(at, step),
            })
            .collect();
        if let [.., before, last] = ticks.as_slice()
            && last.x > AT_THE_END
            && last.x - last.width() < before.x + before.width() / 2.0
        {
            ticks.pop();
        }
        ticks
    }
}

/// The next round step from `least` on.
fn step(least: f64) -> f64 {
    const MINUTE: f64 = 60_000.0;
    if least > 20_000.0 {
        let minutes = MINUTES.iter().map(|minutes| minutes * MINUTE);
        return minutes
            .clone()
            .find(|step| *step >= least)
            .unwrap_or_else(|| (least / (120.0 * MINUTE)).ceil() * 120.0 * MINUTE);
    }
    let power = 10_f64.powf(least.max(1e-3).log10().floor());
    let steps = ROUND.iter().map(|round| round * power);
    steps
        .clone()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power)
}

/// A round moment: `0`, `20 ms`, `1.5 s`, `2m 30s`.
fn moment(at: f64, step: f64) -> String {
    let sign = if at < -step / 2.0 { "−" } else { "" };
    let at = at.abs();
    if at < step / 2.0 {
        "0".to_owned()
    } else if at >= 60_000.0 && step >= 1_000.0 {
        format!("{sign}{}", millis(at).replace(" 0s", ""))
    } else {
        let (value, step, unit) = if at >= 1_000.0 {
            (at / 1e3, step / 1e3, "s")
        } else {
            (at, step, "ms")
        };
        let decimals = (-step.log10().floor()).clamp(0.0, 3.0) as usize;
        format!("{sign}{value:.decimals$} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(from: f64, to: f64) -> Vec<String> {
        let axis = Axis {
            from,
            to,
            origin: 0.0,
        };
        axis.ticks().into_iter().map(|tick| tick.text).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(texts(-0.5, 2.6), ["0", "1 ms", "2 ms"]);
        assert_eq!(texts(0.0, 95.0), ["0", "20 ms", "40 ms", "60 ms", "80 ms"]);
        assert_eq!(
            texts(700.0, 1_300.0),
            ["700 ms", "800 ms", "900 ms", "1.0 s", "1.1 s", "1.2 s"]
        );
        assert_eq!(texts(-5_000.0, 9_700.0), ["−5 s", "0", "5 s"]);
        assert_eq!(
            texts(0.0, 150_000.0),
            ["0", "30 s", "1m", "1m 30s", "2m", "2m 30s"]
        );
        // Two at the end would be written over one another.
        assert_eq!(
            texts(0.0, 107_000.0).last().map(String::as_str),
            Some("1m 20s")
        );
        assert_eq!(texts(0.0, 3.0e7).len(), 5);
    }

    #[test]
    fn a_moment_has_its_place_and_none_beyond() {
        let axis = Axis::around([100.0, 200.0], 100.0).expect("a stretch");
        assert_eq!(axis.x(150.0), 50.0);
        assert_eq!((axis.x(-1e9), axis.x(1e9)), (0.0, 100.0));
        assert!(axis.shows(0.0, 100.0) && !axis.shows(0.0, 90.0));
        assert_eq!(Axis::around([1.0], 0.0), None);
        assert_eq!(Axis::around([f64::NAN, 3.0], 0.0), None);
    }
}
