//! Requests that ended, counted together: memory grows with operations, windows and slices that are open, never with
//! requests.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::clock::Mono;
use crate::plan::traffic::SLICE;
use crate::recording::format::Event;
use crate::recording::traffic::{Ending, Endings, Request, Requests, Window};

/// The slowest of a window that are told one by one.
const SLOWEST: usize = 20;

/// What was counted since it was last told.
#[derive(Debug, Default)]
pub struct Tally {
    began: Mono,
    cells: BTreeMap<(Window, u64, usize), Cell>,
    slowest: BTreeMap<Window, BinaryHeap<Reverse<Slow>>>,
}

#[derive(Debug, Default)]
struct Cell {
    endings: Endings,
    latencies: BTreeMap<u64, u64>,
}

/// Ordered by latency; equal ones by when they were due, so that it does not matter which ended first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slow {
    latency: Duration,
    due: Reverse<Mono>,
    operation: usize,
    pid: Option<i32>,
    acquired: Option<Mono>,
    ended: Mono,
    ending: Ending,
}

impl Tally {
    /// Slices count from `began`.
    pub fn new(began: Mono) -> Self {
        Self {
            began,
            ..Self::default()
        }
    }

    /// One more; `failure` is its SQLSTATE where the server refused it.
    pub fn count(&mut self, request: &Request, failure: Option<&str>) {
        let latency = request.ended.since(request.due);
        let slices = request.due.since(self.began).as_nanos() / SLICE.as_nanos();
        let slice = u64::try_from(slices).unwrap_or(u64::MAX);
        let place = (request.window, slice, request.operation);
        let cell = self.cells.entry(place).or_default();
        *cell.endings.counts.entry(request.ending).or_default() += 1;
        if let Some(failure) = failure {
            match cell.endings.failures.get_mut(failure) {
                Some(count) => *count += 1,
                None => drop(cell.endings.failures.insert(failure.to_owned(), 1)),
            }
        }
        *cell.latencies.entry(rounded(latency)).or_default() += 1;
        let slowest = self.slowest.entry(request.window).or_default();
        if slowest.len() >= SLOWEST
            && slowest
                .peek()
                .is_some_and(|Reverse(fastest)| fastest.latency >= latency)
        {
            return;
        }
        slowest.push(Reverse(Slow {
            latency,
            due: Reverse(request.due),
            operation: request.operation,
            pid: request.pid,
            acquired: request.acquired,
            ended: request.ended,
            ending: request.ending,
        }));
        if slowest.len() > SLOWEST {
            slowest.pop();
        }
    }

    /// Tells what there is room for; the rest is kept and added to.
    pub fn tell(&mut self, events: &Sender<Event>) {
        while let Some((place, cell)) = self.cells.pop_first() {
            if let Err(error) = events.try_send(Event::Requests(requests(place, &cell))) {
                // Nobody listens any more when it is disconnected, and then it is all the same.
                if error.is_full() {
                    self.cells.insert(place, cell);
                }
                return;
            }
        }
    }

    /// Tells everything, with the slowest of each window, the slowest first; waits for room.
    pub fn finish(self, events: &Sender<Event>) {
        for (place, cell) in self.cells {
            let _ = events.send(Event::Requests(requests(place, &cell)));
        }
        for (window, slowest) in self.slowest {
            // In the order of what is reversed: the slowest first.
            for Reverse(slow) in slowest.into_sorted_vec() {
                let _ = events.send(Event::Request(Request {
                    window,
                    operation: slow.operation,
                    pid: slow.pid,
                    due: slow.due.0,
                    acquired: slow.acquired,
                    ended: slow.ended,
                    ending: slow.ending,
                }));
            }
        }
    }
}

fn requests((window, slice, operation): (Window, u64, usize), cell: &Cell) -> Requests {
    Requests {
        window,
        slice,
        operation,
        endings: cell.endings.clone(),
        latencies: cell
            .latencies
            .iter()
            .map(|(micros, count)| (*micros, *count))
            .collect(),
    }
}

/// Microseconds, rounded up to two significant digits.
fn rounded(latency: Duration) -> u64 {
    let micros = latency.as_nanos().div_ceil(1000);
    let micros = u64::try_from(micros).unwrap_or(u64::MAX / 100);
    let digits = micros.checked_ilog10().unwrap_or(0);
    let unit = 10_u64.pow(digits.saturating_sub(1));
    micros.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(due: u64, millis: u64) -> Request {
        Request {
            window: Window::Baseline,
            operation: 0,
            pid: Some(1),
            due: Mono(due),
            acquired: Some(Mono(due)),
            ended: Mono(due).after(Duration::from_millis(millis)),
            ending: Ending::Ok,
        }
    }

    #[test]
    fn latencies_keep_two_figures_and_are_never_too_short() {
        let of = |nanos| rounded(Duration::from_nanos(nanos));
        for (nanos, micros) in [
            (0, 0),
            (1, 1),
            (1_000, 1),
            (1_001, 2),
            (99_000, 99),
            (99_001, 100),
            (100_001, 110),
            (995_000, 1_000),
            (1_234_567, 1_300),
            (12_000_000_000, 12_000_000),
        ] {
            assert_eq!(of(nanos), micros, "{nanos}");
        }
        assert!(rounded(Duration::MAX) > 0);
    }

    #[test]
    fn requests_are_counted_by_slice_operation_and_window() {
        let (events, told) = crossbeam_channel::unbounded();
        let mut tally = Tally::new(Mono(0));
        tally.count(&request(0, 1), None);
        tally.count(&request(99_999_999, 1), None);
        let failed = Request {
            ending: Ending::Failed,
            ..request(100_000_000, 2)
        };
        tally.count(&failed, Some("23505"));
        tally.tell(&events);
        tally.count(&failed, Some("23505"));
        tally.finish(&events);
        drop(events);
        let told: Vec<Event> = told.iter().collect();
        let Event::Requests(first) = &told[0] else {
            panic!("{told:?}")
        };
        assert_eq!((first.slice, &first.latencies), (0, &vec![(1_000, 2)]));
        assert_eq!(first.endings.counts[&Ending::Ok], 2);
        for event in &told[1..3] {
            let Event::Requests(second) = event else {
                panic!("{told:?}")
            };
            assert_eq!((second.slice, second.endings.failures["23505"]), (1, 1));
        }
        let slowest = told[3..]
            .iter()
            .filter(|event| matches!(event, Event::Request(_)));
        assert_eq!(slowest.count(), 4);
    }

    #[test]
    fn the_twenty_slowest_are_kept_the_slowest_first() {
        let (events, told) = crossbeam_channel::unbounded();
        let mut tally = Tally::new(Mono(0));
        for n in 0..1000 {
            tally.count(&request(n, (n * 7919) % 1000), None);
        }
        tally.finish(&events);
        drop(events);
        let slow: Vec<u128> = told
            .iter()
            .filter_map(|event| match event {
                Event::Request(slow) => Some(slow.ended.since(slow.due).as_millis()),
                _ => None,
            })
            .collect();
        let expected: Vec<u128> = (980..1000).rev().collect();
        assert_eq!(slow, expected);
    }

    #[test]
    fn what_finds_no_room_is_told_later() {
        let (events, told) = crossbeam_channel::bounded(1);
        let mut tally = Tally::new(Mono(0));
        tally.count(&request(0, 1), None);
        tally.count(&request(100_000_000, 1), None);
        tally.tell(&events);
        tally.count(&request(100_000_000, 1), None);
        assert!(matches!(told.try_recv(), Ok(Event::Requests(one)) if one.slice == 0));
        tally.tell(&events);
        assert!(
            matches!(told.try_recv(), Ok(Event::Requests(two)) if two.endings.counts[&Ending::Ok] == 2)
        );
    }
}
