//! One phase in words: how far, how fast, how long still. Pure: the time is told to it.

use std::time::Duration;

use lockproof::report::text;
use lockproof::stage::Unit;

use super::pace::Pace;

/// What goes on.
#[derive(Debug, Clone)]
pub struct Phase {
    what: String,
    unit: Option<Unit>,
    done: Option<u64>,
    total: Option<u64>,
    detail: String,
    pace: Pace,
    share: Option<Share>,
}

/// How much of all the work is done, by weight, and how fast that goes.
#[derive(Debug, Clone, Default)]
struct Share {
    done: u64,
    total: u64,
    pace: Pace,
}

impl Phase {
    /// It begins; None: `advance` counts it does not know what.
    pub fn new(what: &str, unit: Option<Unit>) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            done: None,
            total: None,
            detail: String::new(),
            pace: Pace::default(),
            share: None,
        }
    }

    /// So much is done, at that time since it began.
    pub fn advance(&mut self, done: u64, total: Option<u64>, at: Duration) {
        self.done = Some(done);
        self.total = total.filter(|total| *total > 0);
        self.pace.see(at, done);
    }

    /// So much of all the work is done, by weight, at that time since it began.
    pub fn share(&mut self, done: u64, total: u64, at: Duration) {
        let share = self.share.get_or_insert_default();
        share.done = done;
        share.total = total;
        share.pace.see(at, done);
    }

    /// What of it is at work.
    pub fn detail(&mut self, what: &str) {
        what.clone_into(&mut self.detail);
    }

    /// Time has passed, whether anything was done or not.
    pub fn look(&mut self, at: Duration) {
        if let Some(done) = self.done {
            self.pace.see(at, done);
        }
        if let Some(share) = &mut self.share {
            share.pace.see(at, share.done);
        }
    }

    /// How it stands: ``restoring `a` (34 s): 1.2 of 4.0 GB, 35 MB/s, 30 %, 1m 20s left``.
    pub fn stands(&self, at: Duration) -> String {
        let mut line = format!("{} ({})", self.what, span(at));
        let mut parts = Vec::new();
        if let Some(done) = self.done {
            parts.push(match self.total {
                Some(total) => format!("{} of {}", self.plain(done, total), self.amount(total)),
                None => self.amount(done),
            });
            parts.extend(self.speed(self.pace.rate()));
        }
        if let Some((done, total, pace)) = self.whole() {
            parts.push(format!("{} %", percent(done, total)));
            let left = pace.left(total);
            parts.extend(left.map(|left| format!("{} left", coarse(left))));
        }
        if !self.detail.is_empty() {
            parts.push(self.detail.clone());
        }
        if !parts.is_empty() {
            line.push_str(": ");
            line.push_str(&parts.join(", "));
        }
        line
    }

    /// What it came to: ``restoring `a` took 3m 2s: 4.0 GB, 22 MB/s``.
    pub fn took(&self, at: Duration) -> String {
        let mut line = format!("{} took {}", self.what, span(at));
        if let Some(done) = self.done.filter(|done| *done > 0) {
            let mean = done as f64 / at.as_secs_f64().max(0.001);
            line.push_str(": ");
            line.push_str(&self.amount(done));
            if let Some(speed) = self.speed(Some(mean)) {
                line.push_str(", ");
                line.push_str(&speed);
            }
        }
        line
    }

    /// What percent and time left go by; None: they would mean nothing, since no counted thing
    /// takes as long as the next.
    fn whole(&self) -> Option<(u64, u64, &Pace)> {
        match (&self.share, self.unit) {
            (Some(share), _) => Some((share.done, share.total, &share.pace)),
            (None, None | Some(Unit::Statements | Unit::Tables)) => None,
            (None, Some(Unit::Bytes | Unit::Rows | Unit::Objects)) => {
                Some((self.done?, self.total?, &self.pace))
            }
        }
    }

    fn speed(&self, rate: Option<f64>) -> Option<String> {
        let rate = rate?.round() as u64;
        match self.unit? {
            Unit::Bytes => Some(format!("{}/s", text::bytes(rate))),
            Unit::Rows => Some(format!("{} rows/s", text::count(rate))),
            Unit::Statements | Unit::Tables | Unit::Objects => None,
        }
    }

    fn amount(&self, number: u64) -> String {
        let (one, many) = match self.unit {
            Some(Unit::Bytes) => return text::bytes(number),
            None => return text::count(number),
            Some(Unit::Rows) => ("row", "rows"),
            Some(Unit::Statements) => ("statement", "statements"),
            Some(Unit::Tables) => ("table", "tables"),
            Some(Unit::Objects) => ("object", "objects"),
        };
        let word = if number == 1 { one } else { many };
        format!("{} {word}", text::count(number))
    }

    /// A number whose unit is told by what follows.
    fn plain(&self, done: u64, total: u64) -> String {
        if self.unit != Some(Unit::Bytes) {
            return text::count(done);
        }
        let (done, total) = (text::bytes(done), text::bytes(total));
        match (done.split_once(' '), total.split_once(' ')) {
            (Some((number, unit)), Some((_, same))) if unit == same => number.to_owned(),
            _ => done,
        }
    }
}

/// 100 only when all is done.
fn percent(done: u64, total: u64) -> u64 {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX).min(100)
}

/// A time that went by: `34 s`, `3m 2s`, `2h 5m`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A time to come, no finer than it can be known: `34 s`, `3m 20s`, `12m`, `2h 5m`.
fn coarse(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => span(Duration::from_secs(seconds.max(1))),
        60..600 => span(Duration::from_secs(seconds / 10 * 10)),
        600..3600 => format!("{}m", seconds / 60),
        _ => span(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// From nothing to `done` in so many seconds, evenly.
    fn after(unit: Option<Unit>, done: u64, total: Option<u64>, seconds: u64) -> Phase {
        let mut phase = Phase::new("restoring `a`", unit);
        for second in 0..=seconds {
            phase.advance(done * second / seconds, total, s(second));
        }
        phase
    }

    #[test]
    fn each_unit_has_its_figures() {
        let gb = 1_000_000_000;
        for (phase, seconds, words) in [
            (
                after(Some(Unit::Bytes), 12 * gb / 10, Some(4 * gb), 34),
                34,
                "restoring `a` (34 s): 1.2 of 4.0 GB, 35 MB/s, 30 %, 1m 10s left",
            ),
            (
                after(Some(Unit::Bytes), 340_000_000, Some(4 * gb), 2),
                2,
                "restoring `a` (2 s): 340 MB of 4.0 GB, 170 MB/s, 8 %",
            ),
            (
                after(Some(Unit::Rows), 1_200_000, None, 60),
                60,
                "restoring `a` (1m 0s): 1,200,000 rows, 20,000 rows/s",
            ),
            (
                after(Some(Unit::Objects), 12, Some(80), 30),
                31,
                "restoring `a` (31 s): 12 of 80 objects, 15 %, 2m 50s left",
            ),
            (
                after(Some(Unit::Statements), 3, Some(7), 30),
                3700,
                "restoring `a` (1h 1m): 3 of 7 statements",
            ),
            (after(None, 3, Some(7), 5), 5, "restoring `a` (5 s): 3 of 7"),
            (Phase::new("looking", None), 5, "looking (5 s)"),
        ] {
            assert_eq!(phase.stands(s(seconds)), words);
        }
    }

    #[test]
    fn percent_and_time_left_go_by_the_share_where_there_is_one() {
        let mut phase = after(Some(Unit::Bytes), 88_000_000, Some(88_000_000), 10);
        for second in 0..=10 {
            phase.share(second, 40, s(second));
        }
        assert_eq!(
            phase.stands(s(10)),
            "restoring `a` (10 s): 88 of 88 MB, 8.8 MB/s, 25 %, 30 s left"
        );
    }

    #[test]
    fn the_detail_comes_last_because_a_narrow_terminal_cuts_there() {
        let mut phase = after(Some(Unit::Statements), 1, Some(7), 5);
        phase.detail("CREATE INDEX");
        assert_eq!(
            phase.stands(s(6)),
            "restoring `a` (6 s): 1 of 7 statements, CREATE INDEX"
        );
        let mut phase = Phase::new("a", None);
        phase.detail("b");
        assert_eq!(phase.stands(s(6)), "a (6 s): b");
    }

    #[test]
    fn the_end_says_what_it_came_to() {
        let phase = after(Some(Unit::Bytes), 4_000_000_000, Some(4_000_000_000), 182);
        assert_eq!(
            phase.took(s(182)),
            "restoring `a` took 3m 2s: 4.0 GB, 22 MB/s"
        );
        let phase = after(Some(Unit::Tables), 1, Some(1), 4);
        assert_eq!(phase.took(s(4)), "restoring `a` took 4 s: 1 table");
        assert_eq!(Phase::new("b", None).took(s(9)), "b took 9 s");
    }

    #[test]
    fn all_is_said_only_of_all() {
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1000, 1000), 100);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(1100, 1000), 100);
    }

    #[test]
    fn times_to_come_are_coarse() {
        let shown: Vec<String> = [0, 34, 199, 725, 7_530].map(|at| coarse(s(at))).into();
        assert_eq!(shown, ["1 s", "34 s", "3m 10s", "12m", "2h 5m"]);
    }
}
