//! When requests are due: decided before the first is made, whatever becomes of it.

use std::time::Duration;

use super::dice::Dice;
use crate::plan::Arrivals;

/// The number of the dice that arrivals are drawn with; requests count from 0.
const ARRIVALS: u64 = u64::MAX;

/// The due times of an open loop, from its beginning, in order, without end.
#[derive(Debug, Clone)]
pub struct Schedule {
    dice: Dice,
    arrivals: Arrivals,
    rate: f64,
    /// In seconds; of a uniform one the number of the next.
    at: f64,
}

impl Schedule {
    /// Of so many a second, more than 0.
    pub fn new(seed: u64, rate: f64, arrivals: Arrivals) -> Self {
        Self {
            dice: Dice::of(seed, ARRIVALS),
            arrivals,
            rate,
            at: 0.0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let seconds = match self.arrivals {
            Arrivals::Poisson => {
                self.at += self.dice.exponential() / self.rate;
                self.at
            }
            Arrivals::Uniform => {
                self.at += 1.0;
                self.at / self.rate
            }
        };
        // A rate of one in a thousand years ends the schedule.
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(n: usize, seed: u64, arrivals: Arrivals) -> Vec<Duration> {
        Schedule::new(seed, 1000.0, arrivals).take(n).collect()
    }

    #[test]
    fn the_same_seed_has_the_same_schedule() {
        let of = |seed| first(1000, seed, Arrivals::Poisson);
        assert_eq!(of(5), of(5));
        assert_ne!(of(5), of(6));
    }

    #[test]
    fn poisson_keeps_the_rate_and_the_law() {
        let due = first(100_000, 9, Arrivals::Poisson);
        assert!(due.is_sorted());
        let took = due.last().expect("many").as_secs_f64();
        // The deviation of a sum of 100,000 is 0.3 %.
        assert!((took / 100.0 - 1.0).abs() < 0.02, "{took}");
        // As many gaps are longer than the mean as e^-1 says.
        let mean = Duration::from_millis(1);
        let long = due.windows(2).filter(|pair| pair[1] - pair[0] > mean);
        let share = long.count() as f64 / 100_000.0;
        assert!((share - (-1.0_f64).exp()).abs() < 0.01, "{share}");
    }

    #[test]
    fn uniform_ones_are_equally_far_apart_and_do_not_drift() {
        let due = first(3_600_000, 1, Arrivals::Uniform);
        assert_eq!(due[0], Duration::from_millis(1));
        let end = due.last().expect("many").as_secs_f64();
        assert!((end - 3600.0).abs() < 1e-6, "{end}");
    }
}
