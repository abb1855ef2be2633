//! The longest hold that could have come and gone between two polls.

use std::time::Duration;

use super::session::Bracket;
use crate::clock::Mono;

/// Whether polls were under way before a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polls {
    /// None yet: the time up to the first one is unseen.
    NotYet,
    /// They went on from before.
    UnderWay,
}

/// How a step was watched.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    gaps: Vec<(Mono, Mono)>,
    longest_small: Option<Duration>,
    head: Option<Mono>,
    last: Option<Mono>,
}

impl Watch {
    /// Begins with the step.
    pub fn new(polls: Polls, step: Mono) -> Self {
        Self {
            head: (polls == Polls::UnderWay).then_some(step),
            ..Self::default()
        }
    }

    /// A poll answered; the first one ends the time that nothing vouches for.
    pub fn poll(&mut self, received: Mono) {
        self.head.get_or_insert(received);
    }

    /// Polls went on up to the one sent at `last`, no farther apart than `longest` where no gap of
    /// its own says otherwise.
    pub fn samples(&mut self, longest: Duration, last: Mono) {
        self.longest_small = self.longest_small.max(Some(longest));
        self.last = self.last.max(Some(last));
    }

    /// Nothing was seen in between.
    pub fn gap(&mut self, from: Mono, to: Mono) {
        self.gaps.push((from, to));
    }

    /// The longest unseen part of any of the windows in which a lock could be held at all.
    pub fn blind(&self, windows: &[Bracket], floor: Duration, step: (Mono, Mono)) -> Duration {
        let small = match self.longest_small {
            Some(longest) => longest.min(floor),
            None => floor,
        };
        // Nothing vouches for the time before the first poll and after the last.
        let head = (step.0, self.head.unwrap_or(Mono(u64::MAX)));
        let tail = (self.last.unwrap_or(step.0), Mono(u64::MAX));
        windows
            .iter()
            .map(|window| {
                let hidden = |&(from, to): &(Mono, Mono)| {
                    to.min(window.closed).since(from.max(window.opened))
                };
                let longest_gap = self
                    .gaps
                    .iter()
                    .chain([&head, &tail])
                    .map(hidden)
                    .max()
                    .unwrap_or_default();
                longest_gap.max(small.min(window.closed.since(window.opened)))
            })
            .max()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_nanos(10);
    const STEP: (Mono, Mono) = (Mono(0), Mono(100));

    fn window(opened: u64, closed: u64) -> Bracket {
        Bracket {
            opened: Mono(opened),
            closed: Mono(closed),
        }
    }

    #[test]
    fn a_gap_counts_as_far_as_a_window_covers_it() {
        let mut watch = Watch::new(Polls::UnderWay, STEP.0);
        watch.samples(Duration::from_nanos(5), Mono(100));
        watch.gap(Mono(20), Mono(60));
        let blind = |windows: &[Bracket]| watch.blind(windows, FLOOR, STEP).as_nanos();
        assert_eq!(blind(&[window(0, 100)]), 40);
        assert_eq!(blind(&[window(50, 100)]), 10);
        assert_eq!(blind(&[window(70, 100)]), 5);
        assert_eq!(blind(&[window(70, 72)]), 2, "no longer than its window");
        assert_eq!(blind(&[]), 0);
    }

    #[test]
    fn unwatched_time_is_blind() {
        let watch = Watch::default();
        assert_eq!(watch.blind(&[window(10, 90)], FLOOR, STEP).as_nanos(), 80);
    }
}
