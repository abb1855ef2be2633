//! What a prune takes of what is restored.

use std::time::Duration;

use jiff::Timestamp;

use super::cached::Cached;

/// Clocks of machines that share an engine may differ by so much.
const SLACK: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// What a prune leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Only what was used within this time; None: however long ago.
    pub used_within: Option<Duration>,
    /// Only so many bytes in all, what was used last first; None: however many.
    pub bytes: Option<u64>,
}

/// Why a prune takes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody used it for so long.
    Unused(Duration),
    /// Everything that was used later fills the cache by itself.
    NoRoom,
}

/// Longer than anybody leaves a cache and then asks for what is old in it: the clock is ahead.
const AGES: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is odd about the times of a cache beside the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd<'a> {
    /// This was used or made in the future: a clock was set since. It counts as used just now.
    Ahead(&'a Cached, Timestamp),
    /// By the clock even what was used last is this old. No age can be believed: if the clock is ahead,
    /// all would be taken.
    AllOld(Duration),
}

/// All that is odd.
pub fn odd(all: &[Cached], now: Timestamp) -> Vec<Odd<'_>> {
    let mut found: Vec<Odd<'_>> = all
        .iter()
        .filter_map(|cached| Some(Odd::Ahead(cached, cached.last()?)))
        .filter(|odd| matches!(odd, Odd::Ahead(_, at) if now.duration_since(*at) < -SLACK))
        .collect();
    let past = all
        .iter()
        .filter(|cached| cached.last().is_some_and(|last| last <= now))
        .filter_map(|cached| cached.unused_for(now));
    let least = past.min().filter(|least| *least > AGES);
    found.extend(least.map(Odd::AllOld));
    found
}

/// What a prune takes, what was unused the longest first. What is in use is counted, and never taken.
pub fn prunable(all: &[Cached], keep: Keep, now: Timestamp) -> Vec<(&Cached, Reason)> {
    let idle = |cached: &Cached| cached.unused_for(now).unwrap_or_default();
    let mut by_use: Vec<&Cached> = all.iter().collect();
    // Of those of one moment, the larger goes first.
    by_use.sort_by(|a, b| (idle(b), b.bytes, &a.id).cmp(&(idle(a), a.bytes, &b.id)));
    let mut total: u64 = all.iter().filter_map(|cached| cached.bytes).sum();
    let mut taken = Vec::new();
    for cached in by_use.into_iter().filter(|cached| !cached.in_use) {
        let idle = idle(cached);
        let reason = if keep.used_within.is_some_and(|limit| idle > limit) {
            Reason::Unused(idle)
        } else if keep.bytes.is_some_and(|limit| total > limit) && cached.bytes != Some(0) {
            Reason::NoRoom
        } else {
            continue;
        };
        total = total.saturating_sub(cached.bytes.unwrap_or_default());
        taken.push((cached, reason));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::StageKind;

    const DAY: i64 = 24 * 3600;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * DAY).expect("a time")
    }

    fn cached(id: &str, used: Option<i64>, bytes: u64) -> Cached {
        Cached {
            id: id.to_owned(),
            snapshot: None,
            stage: StageKind::Local,
            place: String::new(),
            digest: None,
            database: None,
            server_version: None,
            image: None,
            bytes: Some(bytes),
            rows: None,
            made_at: used.map(at),
            used_at: used.map(at),
            made_by: None,
            in_use: false,
            key: String::new(),
        }
    }

    fn taken(all: &[Cached], days: Option<u64>, bytes: Option<u64>) -> Vec<&str> {
        let keep = Keep {
            used_within: days.map(|days| Duration::from_secs(days * DAY.unsigned_abs())),
            bytes,
        };
        prunable(all, keep, at(0))
            .into_iter()
            .map(|(cached, _)| cached.id.as_str())
            .collect()
    }

    #[test]
    fn what_was_unused_the_longest_goes_first() {
        let all = [
            cached("new", Some(-1), 10),
            cached("old", Some(-40), 10),
            cached("middle", Some(-20), 10),
        ];
        assert_eq!(taken(&all, Some(30), None), ["old"]);
        assert_eq!(taken(&all, Some(10), None), ["old", "middle"]);
        assert_eq!(taken(&all, None, Some(30)), [""; 0]);
        assert_eq!(taken(&all, None, Some(29)), ["old"]);
        assert_eq!(taken(&all, None, Some(10)), ["old", "middle"]);
        assert_eq!(taken(&all, None, Some(0)), ["old", "middle", "new"]);
        // What age takes makes room.
        assert_eq!(taken(&all, Some(30), Some(20)), ["old"]);
        assert_eq!(taken(&all, None, None), [""; 0]);
    }

    #[test]
    fn what_is_in_use_fills_the_cache_and_stays() {
        let mut all = [cached("used", Some(-90), 50), cached("free", Some(-1), 10)];
        all[0].in_use = true;
        assert_eq!(taken(&all, Some(1), None), [""; 0]);
        assert_eq!(taken(&all, None, Some(50)), ["free"]);
    }

    #[test]
    fn a_clock_that_is_ahead_is_suspected_where_all_is_old() {
        let names = |all: &[Cached]| -> Vec<String> {
            odd(all, at(0))
                .into_iter()
                .map(|odd| match odd {
                    Odd::Ahead(cached, _) => cached.id.clone(),
                    Odd::AllOld(least) => format!("{} days", least.as_secs() / DAY.unsigned_abs()),
                })
                .collect()
        };
        let (old, older) = (
            cached("old", Some(-366), 10),
            cached("older", Some(-4000), 10),
        );
        assert_eq!(names(&[old.clone(), older.clone()]), ["366 days"]);
        // One that is no older than a year, and the others may well be.
        let year = cached("a year", Some(-365), 10);
        assert_eq!(names(&[year, older.clone()]), [""; 0]);
        // A time to come is no sign that the clock is right now.
        let ahead = cached("ahead", Some(1), 10);
        assert_eq!(names(&[ahead.clone(), older]), ["ahead", "4000 days"]);
        assert_eq!(names(&[ahead]), ["ahead"]);
        let mut soon = cached("soon", Some(0), 10);
        soon.used_at = soon
            .used_at
            .map(|at| at + jiff::SignedDuration::from_mins(9));
        assert_eq!(names(&[soon, cached("unknown", None, 10)]), [""; 0]);
        assert_eq!(names(&[]), [""; 0]);
    }

    #[test]
    fn a_clock_that_was_set_makes_nothing_old() {
        let all = [
            cached("tomorrow", Some(1), 10),
            cached("in a century", Some(36_500), 10),
            cached("unknown", None, 10),
        ];
        assert_eq!(taken(&all, Some(0), None), [""; 0]);
        // Used before it was made: the later of both counts.
        let mut odd = cached("odd", Some(-90), 10);
        odd.made_at = Some(at(-1));
        assert_eq!(
            odd.unused_for(at(0)),
            Some(Duration::from_secs(DAY.unsigned_abs()))
        );
        for time in [Timestamp::MIN, Timestamp::MAX] {
            odd.made_at = Some(time);
            odd.used_at = None;
            for now in [Timestamp::MIN, Timestamp::MAX, at(0)] {
                assert!(odd.unused_for(now).is_some());
            }
        }
    }
}
