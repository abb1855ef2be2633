//! Stretches of time, and how much of it several of them cover together.

use std::time::Duration;

use crate::bounds::Bounds;
use crate::clock::Mono;

/// A stretch that was observed: it surely lasted over `inner`, and at most over `outer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// From and to; empty where `to` is not later than `from`.
    pub inner: (Mono, Mono),
    /// From and to; None: its end was not seen.
    pub outer: (Mono, Option<Mono>),
}

impl Stretch {
    /// How long it was.
    pub fn length(&self) -> Bounds {
        Bounds::new(
            self.inner.1.since(self.inner.0),
            self.outer.1.map(|to| to.since(self.outer.0)),
        )
    }
}

/// How long any of these went on; None where there is none.
pub fn union(stretches: &[Stretch]) -> Option<Bounds> {
    if stretches.is_empty() {
        return None;
    }
    let inner = stretches.iter().map(|stretch| stretch.inner);
    let outer: Option<Vec<(Mono, Mono)>> = stretches
        .iter()
        .map(|stretch| Some((stretch.outer.0, stretch.outer.1?)))
        .collect();
    Some(Bounds::new(covered(inner.collect()), outer.map(covered)))
}

/// The time that these cover.
fn covered(mut stretches: Vec<(Mono, Mono)>) -> Duration {
    stretches.sort_unstable();
    let mut sum = Duration::ZERO;
    let mut until = Mono(0);
    for (from, to) in stretches {
        sum += to.since(from.max(until));
        until = until.max(to);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(inner: (u64, u64), outer: (u64, Option<u64>)) -> Stretch {
        Stretch {
            inner: (Mono(inner.0), Mono(inner.1)),
            outer: (Mono(outer.0), outer.1.map(Mono)),
        }
    }

    #[test]
    fn what_overlaps_counts_once() {
        let stretches = [
            stretch((30, 40), (28, Some(44))),
            stretch((10, 20), (8, Some(24))),
            stretch((15, 25), (14, Some(26))),
        ];
        let union = union(&stretches).expect("three");
        assert_eq!(union.at_least().as_nanos(), 15 + 10);
        assert_eq!(union.at_most().map(|most| most.as_nanos()), Some(18 + 16));
    }

    #[test]
    fn what_has_no_end_has_no_upper_bound_and_what_is_empty_no_lower_one() {
        let open = stretch((20, 10), (5, None));
        assert_eq!(open.length().at_least(), Duration::ZERO);
        let union = union(&[open, stretch((1, 2), (1, Some(2)))]).expect("two");
        assert_eq!((union.at_least().as_nanos(), union.at_most()), (1, None));
        assert_eq!(super::union(&[]), None);
    }
}
