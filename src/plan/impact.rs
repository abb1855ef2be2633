//! What a step may do to applications, beside how long it holds a lock: off unless set.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Budgets of what applications feel; None: no budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// ACCESS EXCLUSIVE from asked to released: newcomers queue behind a lock that is only waited for.
    #[serde(default, with = "nanos")]
    pub exclusion: Option<Duration>,
    /// Requests, or sessions where no traffic is run, that waited behind the migration.
    #[serde(default)]
    pub blocked_requests: Option<u64>,
    /// The longest of those waits.
    #[serde(default, with = "nanos")]
    pub victim_wait: Option<Duration>,
    /// How much the 99th percentile of any operation may grow over the baseline.
    #[serde(default)]
    pub p99_increase: Option<Increase>,
    /// Requests that timed out or were refused.
    #[serde(default)]
    pub timeouts: Option<u64>,
}

/// So much more than before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Increase {
    /// By this time, in nanoseconds.
    By(
        #[serde(with = "crate::clock::nanos")]
        #[schemars(with = "u64")]
        Duration,
    ),
    /// By this percentage of what it was.
    Percent(f64),
}

impl Impact {
    /// `--profile strict`.
    pub const STRICT: Self = Self {
        exclusion: Some(Duration::from_millis(500)),
        blocked_requests: None,
        victim_wait: Some(Duration::from_millis(500)),
        p99_increase: Some(Increase::By(Duration::from_millis(100))),
        timeouts: Some(0),
    };

    /// True where there is no budget.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// These, and `other` where there are none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            exclusion: self.exclusion.or(other.exclusion),
            blocked_requests: self.blocked_requests.or(other.blocked_requests),
            victim_wait: self.victim_wait.or(other.victim_wait),
            p99_increase: self.p99_increase.or(other.p99_increase),
            timeouts: self.timeouts.or(other.timeouts),
        }
    }
}

/// Optional durations as nanoseconds.
mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let nanos = duration.map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        nanos.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_nanos))
    }
}
