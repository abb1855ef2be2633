//! The sampler as it works, on a history instead of a server: which polls it took, and what it told.

use std::time::Duration;

use lockproof::clock::Mono;
use lockproof::recording::format::{Event, LockRow, Poll};
use proptest::prelude::*;

/// One poll in numbers.
#[derive(Debug, Clone)]
pub struct Look {
    /// The rest before it.
    pub rest: u64,
    /// Its length.
    pub length: u64,
    /// Where within it the server took its snapshot.
    place: f64,
    /// The channel has no room for what it shows.
    pub full: bool,
    /// Somebody waits for it, or a second is over: that it was taken is told.
    beat: bool,
}

impl Look {
    /// A poll that is waited for.
    pub fn waited_for() -> Self {
        Self {
            rest: 0,
            length: 1_000,
            place: 0.5,
            full: false,
            beat: true,
        }
    }
}

pub fn looks() -> impl Strategy<Value = Vec<Look>> {
    let look = (
        0..6 * super::history::MS,
        1..super::history::MS,
        0.0..1.0f64,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.5),
    );
    let look = look.prop_map(|(rest, length, place, full, beat)| Look {
        rest,
        length,
        place,
        full,
        beat,
    });
    prop::collection::vec(look, 1..60)
}

/// The sampler between two polls.
#[derive(Debug, Default)]
pub struct Sampler {
    pub now: u64,
    told: Vec<LockRow>,
    last: Option<Poll>,
    longest: Duration,
    gap: Option<(Mono, Mono)>,
    /// The polls whose rows were told, with the moments of their snapshots.
    pub seen: Vec<(u64, Poll)>,
}

impl Sampler {
    /// Takes a poll and tells.
    pub fn look(
        &mut self,
        look: &Look,
        floor: Duration,
        rows: impl Fn(u64) -> Vec<LockRow>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let sent = self.now + look.rest;
        let poll = Poll {
            sent: Mono(sent),
            received: Mono(sent + look.length),
        };
        self.now = poll.received.0;
        let snapshot = sent + (look.length as f64 * look.place) as u64;
        let mut rows = rows(snapshot);
        rows.sort_unstable();
        if rows == self.told || !look.full {
            if rows != self.told {
                let not_in = |rows: &[LockRow], others: &[LockRow]| -> Vec<LockRow> {
                    let news = rows.iter().filter(|row| !others.contains(row));
                    news.copied().collect()
                };
                events.push(Event::Locks {
                    before: self.last,
                    poll,
                    taken: not_in(&rows, &self.told),
                    gone: not_in(&self.told, &rows),
                });
                self.told = rows;
            }
            if let Some(last) = self.last {
                self.gap(last.sent, poll.received, floor);
            }
            if let (Some((from, to)), false) = (self.gap, look.full) {
                events.push(Event::Gap { from, to });
                self.gap = None;
            }
            self.last = Some(poll);
            self.seen.push((snapshot, poll));
        }
        if let (true, Some(last)) = (look.beat, self.last) {
            if let Some((from, to)) = self.gap.take() {
                events.push(Event::Gap { from, to });
            }
            events.push(Event::Samples {
                count: 1,
                longest_gap: std::mem::take(&mut self.longest),
                last,
            });
        }
        events
    }

    fn gap(&mut self, from: Mono, to: Mono, floor: Duration) {
        if to.since(from) <= floor {
            self.longest = self.longest.max(to.since(from));
        } else {
            let known = self.gap.unwrap_or((from, to));
            self.gap = Some((known.0.min(from), known.1.max(to)));
        }
    }
}
