//! Times as a distribution.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::model::Distribution;
use super::text::ms;

/// Of these times; None when there are none.
///
/// Shortest and longest are exact, the percentiles have two significant figures and are rounded up.
pub fn of(times: impl Iterator<Item = Duration>) -> Option<Distribution> {
    // It grows by itself: no bound is needed.
    let mut histogram = Histogram::<u64>::new(2).ok()?;
    let (mut shortest, mut longest) = (Duration::MAX, Duration::ZERO);
    for time in times {
        // Only a time of 584 years finds no room.
        let _ = histogram.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        shortest = shortest.min(time);
        longest = longest.max(time);
    }
    let at = |quantile: f64| {
        let nanos = histogram.value_at_quantile(quantile);
        ms(Duration::from_nanos(nanos).clamp(shortest, longest))
    };
    (!histogram.is_empty()).then(|| Distribution {
        count: histogram.len(),
        min: ms(shortest),
        p50: at(0.5),
        p99: at(0.99),
        max: ms(longest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_the_shortest_and_the_longest() {
        assert!(of([].into_iter()).is_none());
        let times = (1..=200).map(|n| Duration::from_micros(n * 1_003));
        let distribution = of(times).expect("some");
        assert_eq!(distribution.count, 200);
        assert_eq!((distribution.min, distribution.max), (1.003, 200.6));
        assert!(
            (100.0..102.0).contains(&distribution.p50),
            "{distribution:?}"
        );
        assert!(
            (198.0..=200.6).contains(&distribution.p99),
            "{distribution:?}"
        );
    }
}
