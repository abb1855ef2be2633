//! The only reader of a clock.
//!
//! One clock orders everything: the monotonic one, as nanoseconds since the run began. Wall-clock
//! time is read once or twice for a report's head and never compared with anything.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A moment of the run: nanoseconds of `CLOCK_MONOTONIC` since it began.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    /// The time from `earlier` to here; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `duration` after this one.
    pub fn after(self, duration: Duration) -> Self {
        // u64 nanoseconds last for 584 years.
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// Reads the run's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    zero: Instant,
}

impl Clock {
    /// Starts at zero.
    #[expect(clippy::disallowed_methods, reason = "the clock's home")]
    pub fn start() -> Self {
        Self {
            zero: Instant::now(),
        }
    }

    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "the clock's home")]
    pub fn now(&self) -> Mono {
        let elapsed = Instant::now().duration_since(self.zero);
        // u64 nanoseconds last for 584 years.
        Mono(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// The wall clock, for the head of a report only.
#[expect(clippy::disallowed_methods, reason = "the clock's home")]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Time that the calling thread has had a processor; None where the system does not tell.
pub fn on_cpu() -> Option<Duration> {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .ok()
        .map(Duration::from)
}

/// A duration in a recording: whole nanoseconds.
pub mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        // u64 nanoseconds last for 584 years.
        to.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is no whole number.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}
