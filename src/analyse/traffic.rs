//! Events of one replay's traffic → its facts. Memory grows with operations, steps and the slices that are kept, of
//! which there are at most [`MOST_SLICES`]: not with requests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::impact::{Latency, OperationFacts, RequestFacts, Slice, TrafficFacts};
use crate::clock::Mono;
use crate::recording::format::Quantiles;
use crate::recording::traffic::{Endings, Request, Requests, TrafficSummary, Window};

/// More would be finer than a picture; where there are more, each two become one.
const MOST_SLICES: usize = 600;
/// So many of a window's slowest requests are told.
const SLOWEST: usize = 20;

/// Traffic that is under way.
#[derive(Debug)]
pub struct OpenTraffic {
    /// Since the replay began.
    started: Duration,
    slice: Duration,
    /// So many slices of the recording are one of `slices`.
    together: u64,
    windows: BTreeMap<Window, BTreeMap<usize, Gathered>>,
    slices: BTreeMap<u64, BTreeMap<usize, Gathered>>,
    slowest: BTreeMap<Window, Vec<RequestFacts>>,
    began: Mono,
}

/// Requests of one operation.
#[derive(Debug, Default)]
struct Gathered {
    endings: Endings,
    /// Microseconds, and how many took so long.
    latencies: BTreeMap<u64, u64>,
}

impl OpenTraffic {
    /// Begins at `at`, in a replay that `began` then.
    pub fn new(at: Mono, began: Mono, slice: Duration) -> Self {
        Self {
            started: at.since(began),
            slice,
            together: 1,
            windows: BTreeMap::new(),
            slices: BTreeMap::new(),
            slowest: BTreeMap::new(),
            began,
        }
    }

    /// Requests ended.
    pub fn requests(&mut self, requests: &Requests) {
        let of_window = self.windows.entry(requests.window).or_default();
        of_window
            .entry(requests.operation)
            .or_default()
            .add(&requests.endings, &requests.latencies);
        let of_slice = self
            .slices
            .entry(requests.slice / self.together)
            .or_default();
        of_slice
            .entry(requests.operation)
            .or_default()
            .add(&requests.endings, &requests.latencies);
        while self.slices.len() > MOST_SLICES {
            self.merge();
        }
    }

    /// One of a window's slowest.
    pub fn request(&mut self, request: &Request) {
        let slowest = self.slowest.entry(request.window).or_default();
        slowest.push(RequestFacts {
            operation: request.operation,
            pid: request.pid,
            due: request.due.since(self.began),
            acquired: request.acquired.map(|at| at.since(self.began)),
            latency: request.ended.since(request.due),
            ending: request.ending,
        });
        slowest.sort_by_key(|facts| (std::cmp::Reverse(facts.latency), facts.due));
        slowest.truncate(SLOWEST);
    }

    /// Ends; without a summary where the recording was cut.
    pub fn close(self, summary: Option<TrafficSummary>) -> TrafficFacts {
        let facts = |operations: BTreeMap<usize, Gathered>| -> BTreeMap<usize, OperationFacts> {
            let facts = operations.into_iter();
            facts
                .map(|(operation, gathered)| (operation, gathered.facts()))
                .collect()
        };
        let slowest = &self.slowest;
        let of_window = |window: Window, operations| {
            let mut facts = facts(operations);
            let told = slowest.get(&window).map_or(&[][..], Vec::as_slice);
            for (operation, facts) in &mut facts {
                let mut told = told.iter();
                if let Some(request) = told.find(|request| request.operation == *operation) {
                    facts.latency.longest_is(request.latency);
                }
            }
            facts
        };
        let from = |slice: u64| {
            let slices = u128::from(slice) * u128::from(self.together);
            let nanos = self.slice.as_nanos().saturating_mul(slices);
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            self.started.saturating_add(Duration::from_nanos(nanos))
        };
        TrafficFacts {
            started: self.started,
            windows: self
                .windows
                .into_iter()
                .map(|(window, operations)| (window, of_window(window, operations)))
                .collect(),
            slices: self
                .slices
                .into_iter()
                .map(|(slice, operations)| Slice {
                    from: from(slice),
                    to: from(slice.saturating_add(1)),
                    operations: facts(operations),
                })
                .collect(),
            slowest: self.slowest,
            summary,
        }
    }

    fn merge(&mut self) {
        self.together = self.together.saturating_mul(2);
        for (slice, operations) in std::mem::take(&mut self.slices) {
            let into = self.slices.entry(slice / 2).or_default();
            for (operation, gathered) in operations {
                let pairs: Vec<(u64, u64)> = gathered.latencies.into_iter().collect();
                into.entry(operation)
                    .or_default()
                    .add(&gathered.endings, &pairs);
            }
        }
    }
}

impl Gathered {
    fn add(&mut self, endings: &Endings, latencies: &[(u64, u64)]) {
        let sum = |into: &mut u64, count: u64| *into = into.saturating_add(count);
        for (ending, count) in &endings.counts {
            sum(self.endings.counts.entry(*ending).or_default(), *count);
        }
        for (sqlstate, count) in &endings.failures {
            let failures = &mut self.endings.failures;
            sum(failures.entry(sqlstate.clone()).or_default(), *count);
        }
        for (micros, count) in latencies {
            sum(self.latencies.entry(*micros).or_default(), *count);
        }
    }

    fn facts(self) -> OperationFacts {
        OperationFacts {
            latency: latency(&self.latencies),
            endings: self.endings,
        }
    }
}

impl Latency {
    /// The longest was told by itself, to the microsecond: it was rounded up among all others, and no percentile is
    /// longer. One that the longest of all cannot be, as where a recording was cut, changes nothing.
    fn longest_is(&mut self, longest: Duration) {
        let quantiles = &mut self.quantiles;
        let tenth = quantiles.max / 10;
        if longest > quantiles.max || longest + tenth < quantiles.max {
            return;
        }
        quantiles.p50 = quantiles.p50.min(longest);
        quantiles.p99 = quantiles.p99.min(longest);
        self.p999 = self.p999.min(longest);
        quantiles.max = longest;
    }
}

/// Quantiles of latencies: the smallest that at least such a part of all do not exceed.
fn latency(latencies: &BTreeMap<u64, u64>) -> Latency {
    let count = latencies.values().copied().fold(0, u64::saturating_add);
    let quantile = |per_mille: u64| {
        // Rounded up, so that the 99th percentile of 100 is the 99th.
        let rank = u128::from(count) * u128::from(per_mille);
        let rank = rank.div_ceil(1000).max(1);
        let mut seen = 0u128;
        for (micros, count) in latencies {
            seen += u128::from(*count);
            if seen >= rank {
                return Duration::from_micros(*micros);
            }
        }
        Duration::ZERO
    };
    Latency {
        count,
        quantiles: Quantiles {
            p50: quantile(500),
            p99: quantile(990),
            max: quantile(1000),
        },
        p999: quantile(999),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::traffic::Ending;

    fn requests(window: Window, slice: u64, latencies: &[(u64, u64)]) -> Requests {
        let count = latencies.iter().map(|(_, count)| *count).sum();
        Requests {
            window,
            slice,
            operation: 0,
            endings: Endings {
                counts: [(Ending::Ok, count)].into(),
                failures: BTreeMap::new(),
            },
            latencies: latencies.to_vec(),
        }
    }

    fn open() -> OpenTraffic {
        OpenTraffic::new(
            Mono(3_000_000_000),
            Mono(1_000_000_000),
            Duration::from_millis(100),
        )
    }

    #[test]
    fn what_is_told_in_pieces_adds_up() {
        let mut traffic = open();
        traffic.requests(&requests(Window::Baseline, 0, &[(1000, 98)]));
        traffic.requests(&requests(Window::Baseline, 7, &[(1000, 1), (9000, 1)]));
        traffic.requests(&requests(Window::Step(0), 7, &[(250_000, 1)]));
        let facts = traffic.close(None);
        let latency = facts.windows[&Window::Baseline][&0].latency;
        assert_eq!(latency.count, 100);
        assert_eq!(latency.quantiles.p50, Duration::from_millis(1));
        assert_eq!(latency.quantiles.p99, Duration::from_millis(1));
        assert_eq!(latency.p999, Duration::from_millis(9));
        assert_eq!(latency.quantiles.max, Duration::from_millis(9));
        assert_eq!(
            facts.windows[&Window::Step(0)][&0].endings.counts[&Ending::Ok],
            1
        );
        // Two windows share a slice.
        let at: Vec<(Duration, u64)> = facts
            .slices
            .iter()
            .map(|slice| (slice.from, slice.operations[&0].latency.count))
            .collect();
        assert_eq!(
            at,
            [
                (Duration::from_millis(2000), 98),
                (Duration::from_millis(2700), 3)
            ]
        );
    }

    #[test]
    fn a_long_run_has_no_more_slices_than_a_picture() {
        let mut traffic = open();
        for slice in 0..10_000 {
            traffic.requests(&requests(
                Window::Step(0),
                slice,
                &[(1000 + slice % 1000, 1)],
            ));
        }
        let facts = traffic.close(None);
        assert!(facts.slices.len() <= MOST_SLICES && facts.slices.len() > MOST_SLICES / 2);
        let counts = facts.slices.iter().map(|slice| &slice.operations[&0]);
        assert_eq!(counts.map(|facts| facts.latency.count).sum::<u64>(), 10_000);
        // One stretch after another, without a hole.
        for two in facts.slices.windows(2) {
            assert_eq!(two[0].to, two[1].from);
        }
        let end = Duration::from_secs(2) + Duration::from_millis(100) * 10_000;
        assert!(facts.slices.last().is_some_and(|slice| slice.to >= end));
    }

    #[test]
    fn the_slowest_are_kept_and_the_others_forgotten() {
        let mut traffic = open();
        for number in 0..100u64 {
            traffic.request(&Request {
                window: Window::Step(1),
                operation: 0,
                pid: Some(7),
                due: Mono(3_000_000_000),
                acquired: None,
                ended: Mono(3_000_000_000 + number * 1_000_000),
                ending: Ending::Ok,
            });
        }
        let slowest = &traffic.close(None).slowest[&Window::Step(1)];
        assert_eq!(slowest.len(), SLOWEST);
        assert_eq!(slowest[0].latency, Duration::from_millis(99));
        assert_eq!(slowest[0].due, Duration::from_secs(2));
    }

    #[test]
    fn the_longest_is_as_long_as_it_was_told_by_itself() {
        let longest = |micros, told: u64| {
            let mut traffic = open();
            traffic.requests(&requests(Window::Step(0), 0, &[(500, 1), (micros, 1)]));
            traffic.request(&Request {
                window: Window::Step(0),
                operation: 0,
                pid: Some(7),
                due: Mono(3_000_000_000),
                acquired: None,
                ended: Mono(3_000_000_000 + told * 1_000),
                ending: Ending::Ok,
            });
            let latency = traffic.close(None).windows[&Window::Step(0)][&0].latency;
            [
                latency.quantiles.p50,
                latency.quantiles.p99,
                latency.quantiles.max,
            ]
            .map(|it| it.as_micros())
        };
        assert_eq!(longest(1_100_000, 1_017_000), [500, 1_017_000, 1_017_000]);
        // The longest of all was not told.
        assert_eq!(longest(1_100_000, 17_000), [500, 1_100_000, 1_100_000]);
        assert_eq!(longest(1_100_000, 1_200_000), [500, 1_100_000, 1_100_000]);
    }

    #[test]
    fn nothing_has_no_latency() {
        assert_eq!(latency(&BTreeMap::new()), Latency::default());
    }

    #[test]
    fn any_recording_is_added_up_without_a_crash() {
        let mut traffic = OpenTraffic::new(Mono(0), Mono(u64::MAX), Duration::from_secs(u64::MAX));
        for slice in [0, 1, u64::MAX] {
            let mut told = requests(Window::Settle, slice, &[(0, 1)]);
            told.latencies = vec![(u64::MAX, u64::MAX), (1, u64::MAX)];
            traffic.requests(&told);
            traffic.requests(&told);
        }
        let facts = traffic.close(None);
        assert_eq!(facts.windows[&Window::Settle][&0].latency.count, u64::MAX);
    }
}
