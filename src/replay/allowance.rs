//! How much of a step's time may go into waiting for polls.
//!
//! A poll that is waited for between two statements tells exactly which of them took a lock, and
//! bounds its hold from below to the microsecond. It also lengthens the transaction, and with it the
//! very holds that it measures: 0.15 ms are nothing beside a statement of 10 ms, but 300 small
//! `ALTER TABLE` in one transaction took 1.6 times as long as by psql. So the waiting is paid out of
//! an allowance: a little to begin with, enough for every statement of a usual migration, and a share
//! of the time that the statements themselves took, so that a long one is always followed by a poll.
//! Where it is used up the sampler's own polls go on: bounds stay true, since they come from the polls'
//! moments, and widen by one interval at most; a lock may then be put down to any of the statements
//! between two polls. Asking for a poll without waiting for it was tried: polling back to back, it
//! made 300 `ALTER TABLE` of 0.05 ms twice as long as by psql, on two cores.

use std::time::Duration;

/// To begin with: some twenty polls.
const CREDIT: Duration = Duration::from_millis(3);
/// One part in so many of the statements' time.
const SHARE: u32 = 32;

/// Time to wait in, earned and spent.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    earned: Duration,
    spent: Duration,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            earned: CREDIT,
            spent: Duration::ZERO,
        }
    }
}

impl Allowance {
    /// A statement took so long.
    pub fn earn(&mut self, elapsed: Duration) {
        self.earned = self.earned.saturating_add(elapsed / SHARE);
    }

    /// A poll was waited for so long.
    pub fn spend(&mut self, waited: Duration) {
        self.spent = self.spent.saturating_add(waited);
    }

    /// Whether another poll may be waited for. One that took long is paid off first.
    pub fn lasts(&self) -> bool {
        self.spent < self.earned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_micros(150);

    #[test]
    fn a_usual_migration_is_polled_after_every_statement() {
        let mut allowance = Allowance::default();
        for _ in 0..20 {
            assert!(allowance.lasts());
            allowance.spend(POLL);
        }
        assert!(!allowance.lasts());
    }

    #[test]
    fn many_small_statements_are_hardly_slowed_down() {
        let (mut allowance, small) = (Allowance::default(), Duration::from_micros(200));
        let mut waited = Duration::ZERO;
        for _ in 0..1_000 {
            allowance.earn(small);
            if allowance.lasts() {
                allowance.spend(POLL);
                waited += POLL;
            }
        }
        assert!(waited < CREDIT + small * 1_000 / 20, "{waited:?}");
    }

    #[test]
    fn a_long_statement_is_always_polled_after() {
        let mut allowance = Allowance::default();
        allowance.spend(CREDIT);
        allowance.earn(Duration::from_millis(10));
        assert!(allowance.lasts());
    }
}
