//! When requests are due: decided before the first is made, whatever becomes of it.

use std::time::Duration;

use super::dice::Dice;
use crate::plan::Arrivals;

/// The number of the dice that arrivals are drawn with; requests count from 0.
const ARRIVALS: u64 = u64::MAX;

/// Chance has its way within so many requests, or within a second's where those are more: never are more made than were
/// asked for.
const TOGETHER: f64 = 100.0;

/// The due times of an open loop, from its beginning, in order, without end.
#[derive(Debug, Clone)]
pub struct Schedule {
    dice: Dice,
    arrivals: Arrivals,
    rate: f64,
    /// So many come by chance within a stretch of time that is known.
    together: f64,
    /// How many were due before those that follow.
    before: f64,
    /// Those of the stretch under way that are still to come, the next one last; in requests from its beginning.
    stretch: Vec<f64>,
}

impl Schedule {
    /// Of so many a second, more than 0.
    pub fn new(seed: u64, rate: f64, arrivals: Arrivals) -> Self {
        Self {
            dice: Dice::of(seed, ARRIVALS),
            arrivals,
            rate,
            together: TOGETHER.max(rate.round()),
            before: 0.0,
            stretch: Vec::new(),
        }
    }

    /// A Poisson process of which it is known how many arrive in a stretch of time: gaps of one more than that, made
    /// as long together as the stretch.
    fn stretch(&mut self) {
        let mut at = 0.0;
        let gaps = 0..=self.together as usize;
        self.stretch.extend(gaps.map(|_| {
            at += self.dice.exponential();
            at
        }));
        self.stretch.pop();
        for due in &mut self.stretch {
            *due *= self.together / at;
        }
        self.stretch.reverse();
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let requests = match self.arrivals {
            Arrivals::Poisson => {
                if self.stretch.is_empty() {
                    self.stretch();
                }
                let due = self.before + self.stretch.pop()?;
                if self.stretch.is_empty() {
                    self.before += self.together;
                }
                due
            }
            Arrivals::Uniform => {
                self.before += 1.0;
                self.before
            }
        };
        // A rate of one in a thousand years ends the schedule.
        Duration::try_from_secs_f64(requests / self.rate).ok()
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
        for second in 1..=100u64 {
            let until = due.partition_point(|due| due.as_secs() < second);
            assert_eq!(
                until as u64,
                second * 1000,
                "never more than were asked for, nor fewer"
            );
        }
        // As many gaps are longer than the mean as e^-1 says.
        let mean = Duration::from_millis(1);
        let long = due.windows(2).filter(|pair| pair[1] - pair[0] > mean);
        let share = long.count() as f64 / 100_000.0;
        assert!((share - (-1.0_f64).exp()).abs() < 0.01, "{share}");
    }

    #[test]
    fn few_requests_a_second_come_by_chance_as_well() {
        let due: Vec<Duration> = Schedule::new(9, 0.5, Arrivals::Poisson)
            .take(1000)
            .collect();
        assert_eq!(due.partition_point(|due| due.as_secs() < 200), 100);
        let seconds = |from: u64| due.iter().filter(|due| due.as_secs() / 2 == from).count();
        let alone = (0..1000).filter(|from| seconds(*from) == 1).count();
        // As many stretches of a mean gap have exactly one as e^-1 says.
        assert!((300..440).contains(&alone), "{alone}");
    }

    #[test]
    fn uniform_ones_are_equally_far_apart_and_do_not_drift() {
        let due = first(3_600_000, 1, Arrivals::Uniform);
        assert_eq!(due[0], Duration::from_millis(1));
        let end = due.last().expect("many").as_secs_f64();
        assert!((end - 3600.0).abs() < 1e-6, "{end}");
    }
}
