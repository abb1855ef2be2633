//! How long to rest between two looks: long while nothing is at stake, short while something is.
//!
//! Bounds are as wide as the gaps between looks at the edges of a hold, and only there. So looks are
//! close together right after something has begun that may take a lock, after a lock came or went,
//! and as long as one is waited for; then they drift apart, to a thousandth of the time since. A lock
//! that has been held for a second is a second long, whether to the millisecond or not.

use std::time::Duration;

use crate::clock::Mono;
use crate::pg::LockMode;
use crate::plan::Cadence;
use crate::recording::format::{Claim, LockRow, Poll};

/// From one look's sending to the next one's, at the closest.
const CLOSE: Duration = Duration::from_micros(150);
/// The pause is the time since the last news divided by this.
const SHARE: u32 = 1_000;
/// How long looks are close after a statement was sent that hardly takes a lock that counts.
const GLANCE: Duration = Duration::from_millis(3);

/// What has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heed {
    /// Something that may take a lock that a budget limits: DDL, or a program.
    Closely,
    /// One batch of very many: its transaction is bounded by its brackets anyway.
    Briefly,
}

/// The rule, and what it needs to remember.
#[derive(Debug, Clone)]
pub struct Pace {
    cadence: Cadence,
    interval: Duration,
    /// Modes on which a verdict hangs.
    at_stake: Vec<LockMode>,
    news: Mono,
    close_until: Mono,
    /// How long the last look took.
    took: Duration,
}

impl Pace {
    /// With looks at the most `interval` apart.
    pub fn new(cadence: Cadence, interval: Duration, at_stake: Vec<LockMode>) -> Self {
        Self {
            cadence,
            interval,
            at_stake,
            news: Mono(0),
            close_until: Mono(0),
            took: Duration::ZERO,
        }
    }

    /// The longest pause.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Something has begun; when the next look is due that was due at `due`.
    pub fn heed(&mut self, heed: Heed, now: Mono, due: Mono) -> Mono {
        match (self.cadence, heed) {
            (Cadence::Fixed, _) => return due,
            (Cadence::Adaptive, Heed::Closely) => self.news = now,
            (Cadence::Adaptive, Heed::Briefly) => self.close_until = now.after(GLANCE),
        }
        due.min(now.after(CLOSE))
    }

    /// These rows came or went in a poll.
    pub fn changed(&mut self, poll: Poll, rows: &[LockRow]) {
        if rows.iter().any(|row| self.counts(row)) {
            self.news = poll.received;
        }
    }

    /// When to look again after a poll that showed these rows.
    pub fn due(&mut self, poll: Poll, rows: &[LockRow]) -> Mono {
        if self.cadence == Cadence::Fixed {
            return poll.sent.after(self.interval);
        }
        let waits = |row: &LockRow| row.claim == Claim::Waiting && self.counts(row);
        let pause = if poll.received < self.close_until || rows.iter().any(waits) {
            CLOSE
        } else {
            poll.received.since(self.news) / SHARE
        };
        let pause = pause.clamp(CLOSE.min(self.interval), self.interval);
        // Looks that take long, among thousands of locks or on a starved machine, are a burden to what
        // they look at: half as long a rest after each. One alone was only unlucky.
        let took = poll.received.since(poll.sent);
        let usual = took.min(std::mem::replace(&mut self.took, took));
        let rest = (usual / 2).min(self.interval);
        poll.sent.after(pause).max(poll.received.after(rest))
    }

    fn counts(&self, row: &LockRow) -> bool {
        row.relation != 0 && self.at_stake.contains(&row.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const INTERVAL: Duration = Duration::from_millis(2);

    fn pace() -> Pace {
        Pace::new(
            Cadence::Adaptive,
            INTERVAL,
            vec![LockMode::AccessExclusiveLock],
        )
    }

    fn poll(at: u64) -> Poll {
        Poll {
            sent: Mono(at),
            received: Mono(at + MS / 10),
        }
    }

    fn row(mode: LockMode, claim: Claim) -> LockRow {
        LockRow {
            pid: 7,
            vxid: (3, 1),
            relation: 16_384,
            mode,
            claim,
        }
    }

    fn pause(pace: &mut Pace, at: u64, rows: &[LockRow]) -> Duration {
        pace.due(poll(at), rows).since(Mono(at))
    }

    #[test]
    fn looks_drift_apart_with_the_time_since_the_last_news() {
        let mut pace = pace();
        let start = 60_000 * MS;
        assert_eq!(pause(&mut pace, start, &[]), INTERVAL, "long quiet");
        let held = [row(LockMode::AccessExclusiveLock, Claim::Granted)];
        pace.changed(poll(start), &held);
        assert_eq!(pause(&mut pace, start + 50 * MS, &held), CLOSE);
        assert_eq!(
            pause(&mut pace, start + 1_000 * MS, &held),
            Duration::from_millis(1)
        );
        assert_eq!(pause(&mut pace, start + 9_000 * MS, &held), INTERVAL);
    }

    #[test]
    fn what_no_verdict_hangs_on_is_no_news() {
        let mut pace = pace();
        let start = 60_000 * MS;
        pace.changed(poll(start), &[row(LockMode::ShareLock, Claim::Granted)]);
        assert_eq!(pause(&mut pace, start + MS, &[]), INTERVAL);
    }

    #[test]
    fn a_queue_is_watched_closely_as_long_as_it_lasts() {
        let waiting = [row(LockMode::AccessExclusiveLock, Claim::Waiting)];
        assert_eq!(pause(&mut pace(), 60_000 * MS, &waiting), CLOSE);
    }

    #[test]
    fn what_begins_is_looked_at_soon() {
        let mut pace = pace();
        let (now, due) = (Mono(60_000 * MS), Mono(60_002 * MS));
        assert_eq!(pace.heed(Heed::Briefly, now, due), now.after(CLOSE));
        assert_eq!(pause(&mut pace, now.0 + 2 * MS, &[]), CLOSE);
        assert_eq!(pause(&mut pace, now.0 + 4 * MS, &[]), INTERVAL);
        assert_eq!(
            pace.heed(Heed::Closely, now, Mono(now.0 + 1)),
            Mono(now.0 + 1),
            "one that is due sooner is not put off"
        );
        assert_eq!(pause(&mut pace, now.0 + 4 * MS, &[]), CLOSE);
    }

    #[test]
    fn slow_looks_are_followed_by_rests() {
        let mut pace = pace();
        let now = Mono(60_000 * MS);
        pace.heed(Heed::Closely, now, now);
        let slow = Poll {
            sent: now,
            received: now.after(Duration::from_millis(1)),
        };
        let mut rests = || pace.due(slow, &[]).since(slow.received);
        assert_eq!(
            (rests(), rests()),
            (Duration::ZERO, Duration::from_micros(500))
        );
    }

    #[test]
    fn a_fixed_cadence_stays_as_it_was_asked_for() {
        let mut pace = Pace::new(
            Cadence::Fixed,
            INTERVAL,
            vec![LockMode::AccessExclusiveLock],
        );
        let (now, due) = (Mono(60_000 * MS), Mono(60_001 * MS));
        assert_eq!(pace.heed(Heed::Closely, now, due), due);
        let waiting = [row(LockMode::AccessExclusiveLock, Claim::Waiting)];
        assert_eq!(pause(&mut pace, now.0, &waiting), INTERVAL);
    }
}
