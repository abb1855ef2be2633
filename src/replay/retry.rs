//! What happens when `lock_timeout` strikes: a rest that doubles, then another attempt.

use std::time::Duration;

use super::Scene;
use super::session::Failure;
use crate::plan::Retry;
use crate::recording::format::Event;

/// The attempts of one transaction, statement or batch; each has all that the step allows.
#[derive(Debug)]
pub struct Tries {
    retry: Retry,
    attempts: u32,
}

impl Tries {
    /// Begins with the first attempt.
    pub fn new(retry: Retry) -> Self {
        Self { retry, attempts: 1 }
    }

    /// Attempts so far, the current one included.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Rests before the next attempt; the failure again where none is left or none would help.
    pub async fn again(&mut self, scene: &Scene<'_>, failure: Failure) -> Result<(), Failure> {
        if !failure.is_lock_timeout() || self.attempts >= self.retry.attempts {
            return Err(failure);
        }
        // Where chance is wanted it is real: two runs that were turned away together must not come back together.
        let rest = rest(self.retry, self.attempts, rand::random());
        self.attempts += 1;
        if let Err(error) = scene.rest(rest).await {
            return Err(Failure::of_rest(scene, error));
        }
        scene.tell(Event::Retry {
            attempt: self.attempts,
            at: scene.clock.now(),
            // u64 nanoseconds last for 584 years.
            rested_ns: u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX),
        });
        Ok(())
    }
}

/// The rest after so many attempts; `chance` is from 0 to 1.
fn rest(retry: Retry, attempts: u32, chance: f64) -> Duration {
    // Doubling stops at a factor of 1024, long before the clock overflows.
    let factor = 1u32 << attempts.saturating_sub(1).min(10);
    let doubled = (retry.backoff * factor).min(retry.max_backoff);
    doubled.mul_f64(1.0 + retry.jitter * (2.0 * chance - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn rests_double_up_to_a_limit() {
        let retry = Retry {
            attempts: 100,
            backoff: MS(500),
            max_backoff: MS(3_000),
            jitter: 0.0,
        };
        let rests = [1, 2, 3, 4, 99].map(|attempts| rest(retry, attempts, 0.9));
        assert_eq!(rests, [500, 1_000, 2_000, 3_000, 3_000].map(MS));
    }

    #[test]
    fn jitter_makes_them_shorter_or_longer_by_its_share() {
        let retry = Retry {
            backoff: MS(500),
            jitter: 0.5,
            ..Retry::default()
        };
        let rests = [0.0, 0.5, 1.0].map(|chance| rest(retry, 1, chance));
        assert_eq!(rests, [250, 500, 750].map(MS));
    }
}
