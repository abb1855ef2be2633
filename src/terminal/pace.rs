//! How fast a phase goes, and how long it still takes. Pure: the time is told to it.

use std::time::Duration;

/// How far back the rate looks, roughly.
const MEMORY: Duration = Duration::from_secs(5);

/// Looks closer together than this are one: a rate over a millisecond is noise.
const LEAST: Duration = Duration::from_millis(200);

/// Before this nothing is foretold.
const FORETOLD_AFTER: Duration = Duration::from_secs(3);

/// Longer than this is no time to wait for: something stands still.
const LONGEST: Duration = Duration::from_secs(99 * 3600);

/// Slower than this part of the mean, nobody can tell: at the end of a plain dump all is read while
/// its last indexes are still built.
const STANDSTILL: f64 = 0.1;

/// The speed of one phase.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When something was first counted, and how much was done by then.
    first: Option<(Duration, u64)>,
    last: (Duration, u64),
    rate: f64,
    weight: f64,
}

impl Pace {
    /// So much was done at that time of the phase.
    pub fn see(&mut self, at: Duration, done: u64) {
        if self.first.is_none() {
            self.first = Some((at, done));
            self.last = (at, done);
            return;
        }
        let passed = at.saturating_sub(self.last.0);
        if passed < LEAST {
            return;
        }
        let rate = done.saturating_sub(self.last.1) as f64 / passed.as_secs_f64();
        let share = 1.0 - (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.rate += share * (rate - self.rate);
        self.weight += share * (1.0 - self.weight);
        self.last = (at, done);
    }

    /// So many a second of late; None: too early to tell.
    pub fn rate(&self) -> Option<f64> {
        // What was before the first look counts as nothing, not as zero.
        (self.weight > 0.0).then(|| self.rate / self.weight)
    }

    /// How long the rest takes at the pace of the whole phase so far; None: it would mean nothing.
    ///
    /// Not at the rate of late: where a table counts when it is finished, that jumps.
    pub fn left(&self, total: u64) -> Option<Duration> {
        let (since, before) = self.first?;
        let (at, done) = self.last;
        let (passed, moved) = (at.saturating_sub(since), done.saturating_sub(before));
        if passed < FORETOLD_AFTER || moved == 0 {
            return None;
        }
        let mean = moved as f64 / passed.as_secs_f64();
        if self.rate().is_none_or(|rate| rate < mean * STANDSTILL) {
            return None;
        }
        let rest = total.saturating_sub(done) as f64;
        let seconds = rest / mean;
        (seconds < LONGEST.as_secs_f64()).then(|| Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// At 100 a second until `until`, looked at every quarter of a second.
    fn even(until: u64) -> Pace {
        let mut pace = Pace::default();
        for at in (0..=until).step_by(250) {
            pace.see(ms(at), at / 10);
        }
        pace
    }

    #[test]
    fn an_even_pace_is_told_as_it_is() {
        for until in [500, 2_000, 60_000] {
            let rate = even(until).rate().expect("a rate");
            assert!((rate - 100.0).abs() < 0.01, "{rate}");
        }
        assert_eq!(even(10_000).left(2_000), Some(Duration::from_secs(10)));
    }

    #[test]
    fn nothing_is_foretold_early_or_without_movement() {
        assert_eq!(Pace::default().rate(), None);
        assert_eq!(Pace::default().left(10), None);
        assert_eq!(even(2_750).left(1_000), None);
        let mut still = Pace::default();
        for at in 0..100 {
            still.see(ms(at * 250), 7);
        }
        assert_eq!(still.left(1_000), None);
        assert_eq!(still.rate(), Some(0.0));
    }

    #[test]
    fn what_was_done_before_the_first_look_is_no_speed() {
        let mut pace = Pace::default();
        for at in 0..=40_u64 {
            pace.see(ms(at * 250), 1_000_000 + at);
        }
        assert!(pace.rate().is_some_and(|rate| (rate - 4.0).abs() < 0.01));
        assert_eq!(pace.left(1_000_080), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_standstill_lets_the_rate_fall_and_the_time_grow() {
        let mut pace = even(10_000);
        let before = pace.left(2_000);
        for at in (10_250..=20_000).step_by(250) {
            pace.see(ms(at), 1_000);
        }
        assert!(pace.rate().is_some_and(|rate| rate < 20.0));
        assert!(pace.left(2_000) > before);
        for at in (20_250..=32_000).step_by(250) {
            pace.see(ms(at), 1_000);
        }
        assert_eq!(pace.left(2_000), None);
        // A table that counts as a whole: the time left does not jump to nothing.
        pace.see(ms(32_250), 1_500);
        assert!(pace.left(2_000).is_some_and(|left| left > ms(9_000)));
    }

    #[test]
    fn a_count_that_falls_back_is_no_speed() {
        let mut pace = even(5_000);
        pace.see(ms(5_250), 3);
        assert!(pace.rate().is_some_and(f64::is_finite));
        assert_eq!(pace.left(u64::MAX), None);
    }
}
