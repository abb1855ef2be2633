//! How long something took, very many times, in little memory.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::recording::format::Quantiles;

/// Durations from a microsecond to ten minutes, with three figures: 200 kB, however many there are. A longer one counts
/// as ten minutes.
#[derive(Debug, Clone)]
pub struct Durations(Histogram<u64>);

impl Durations {
    /// None yet.
    pub fn new() -> Self {
        #[expect(clippy::unwrap_used, reason = "constant bounds that the crate accepts")]
        Self(Histogram::new_with_bounds(1, 600_000_000, 3).unwrap())
    }

    /// One more; allocates nothing.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    /// Their percentiles; zero of none.
    pub fn quantiles(&self) -> Quantiles {
        let micros = Duration::from_micros;
        Quantiles {
            p50: micros(self.0.value_at_quantile(0.5)),
            p99: micros(self.0.value_at_quantile(0.99)),
            max: micros(self.0.max()),
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_and_the_longest_is_kept() {
        let mut durations = Durations::new();
        assert_eq!(durations.quantiles().max, Duration::ZERO);
        for _ in 0..98 {
            durations.record(Duration::from_micros(100));
        }
        for _ in 0..2 {
            durations.record(Duration::from_secs(3600));
        }
        let quantiles = durations.quantiles();
        let ms = |duration: Duration| duration.as_millis();
        assert_eq!(ms(quantiles.p50), 0);
        // Three figures of ten minutes.
        assert!(
            (600_000..601_000).contains(&ms(quantiles.p99)),
            "{quantiles:?}"
        );
        assert_eq!(quantiles.p99, quantiles.max);
    }
}
