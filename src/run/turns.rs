//! Which replay comes next: the same measurement again while it is unproven, then the next one.

use crate::judge::Verdict;

/// How many replays there may be.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// For one measurement, while it is unproven.
    pub tries: u32,
    /// Measurements.
    pub repeats: u32,
}

/// One replay's place among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which replay it is, from 1.
    pub replay: u32,
    /// Which measurement it belongs to, from 1.
    pub repeat: u32,
    /// Which replay of that measurement it is, from 1.
    pub attempt: u32,
}

impl Turn {
    /// The first.
    pub const FIRST: Self = Self {
        replay: 1,
        repeat: 1,
        attempt: 1,
    };

    /// `repeat 2 of 5, ` before what is said of it; empty where there is one only.
    pub fn of(self, repeats: u32) -> String {
        match repeats {
            1 => String::new(),
            repeats => format!("repeat {} of {repeats}, ", self.repeat),
        }
    }

    /// What comes after this one, the measurement standing like that; None: nothing.
    pub fn next(self, standing: Verdict, most: Most) -> Option<Self> {
        let replay = self.replay + 1;
        match standing {
            // It would fail again.
            Verdict::Failed => None,
            Verdict::Unproven if self.attempt < most.tries => Some(Self {
                replay,
                attempt: self.attempt + 1,
                ..self
            }),
            _ if self.repeat < most.repeats => Some(Self {
                replay,
                repeat: self.repeat + 1,
                attempt: 1,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(standings: &[Verdict], most: Most) -> Vec<(u32, u32)> {
        let mut turn = Some(Turn::FIRST);
        let mut places = Vec::new();
        for standing in standings {
            let Some(now) = turn else { break };
            places.push((now.repeat, now.attempt));
            turn = now.next(*standing, most);
        }
        places
    }

    #[test]
    fn an_unproven_measurement_is_tried_again_before_the_next() {
        use Verdict::{Exceeded, Unproven, Within};
        let most = Most {
            tries: 2,
            repeats: 3,
        };
        let standings = [Unproven, Unproven, Exceeded, Unproven, Within, Within];
        assert_eq!(
            places(&standings, most),
            [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2)]
        );
    }

    #[test]
    fn a_failure_ends_it() {
        let most = Most {
            tries: 3,
            repeats: 3,
        };
        assert_eq!(places(&[Verdict::Failed; 5], most), [(1, 1)]);
    }
}
