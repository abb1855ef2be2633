//! A time that was observed: never a point, always an interval.

use std::time::Duration;

/// A duration known to lie between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounds {
    at_least: Duration,
    at_most: Option<Duration>,
}

impl Bounds {
    /// From its bounds; `at_most` None: no upper bound was seen.
    ///
    /// Observations that contradict each other cannot narrow anything: an upper bound below the
    /// lower one is raised to it, so that the interval is never empty.
    pub fn new(at_least: Duration, at_most: Option<Duration>) -> Self {
        Self {
            at_least,
            at_most: at_most.map(|most| most.max(at_least)),
        }
    }

    /// It lasted at least this long.
    pub fn at_least(&self) -> Duration {
        self.at_least
    }

    /// It lasted at most this long; None: no upper bound was seen.
    pub fn at_most(&self) -> Option<Duration> {
        self.at_most
    }

    /// What this proves about a limit.
    pub fn against(&self, limit: Duration) -> Proof {
        match self.at_most {
            Some(most) if most <= limit => Proof::Within,
            _ if self.at_least > limit => Proof::Exceeded,
            _ => Proof::Neither,
        }
    }
}

/// What an interval proves about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The upper bound is within the limit.
    Within,
    /// The lower bound is above the limit.
    Exceeded,
    /// The limit lies between the bounds.
    Neither,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_limit_between_the_bounds_proves_nothing() {
        let bounds = Bounds::new(MS(48), Some(MS(52)));
        assert_eq!(bounds.against(MS(47)), Proof::Exceeded);
        assert_eq!(bounds.against(MS(48)), Proof::Neither);
        assert_eq!(bounds.against(MS(50)), Proof::Neither);
        assert_eq!(bounds.against(MS(52)), Proof::Within);
    }

    #[test]
    fn without_an_upper_bound_nothing_is_within() {
        let open = Bounds::new(Duration::ZERO, None);
        assert_eq!(open.against(Duration::MAX), Proof::Neither);
    }
}
