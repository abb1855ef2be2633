//! What happens when `lock_timeout` strikes: a rest that doubles, then another attempt.

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
        // Doubling stops at a factor of 1024, long before the clock overflows.
        let factor = 1u32 << (self.attempts - 1).min(10);
        self.attempts += 1;
        if let Err(error) = scene.rest(self.retry.backoff * factor).await {
            return Err(Failure::of_rest(scene, error));
        }
        scene.tell(Event::Retry {
            attempt: self.attempts,
            at: scene.clock.now(),
        });
        Ok(())
    }
}
