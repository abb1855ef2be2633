//! From changes between polls to the life of each lock row.

use std::collections::BTreeMap;

use crate::recording::format::{LockRow, Poll};

/// A lock row from the first poll that showed it to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The row.
    pub row: LockRow,
    /// The last poll before it that did not show it; None: there was none.
    pub absent_before: Option<Poll>,
    /// The first poll that showed it.
    pub first: Poll,
    /// The last poll that showed it.
    pub last: Poll,
    /// The first poll after it that no longer showed it; None: it was there to the end.
    pub absent_after: Option<Poll>,
}

/// All lives of a step, those that ended and those that go on.
#[derive(Debug, Default)]
pub struct Lives {
    live: BTreeMap<LockRow, Life>,
    finished: Vec<Life>,
    /// The last poll: it saw every live row, which is kept here once instead of in each of them.
    latest: Option<Poll>,
}

impl Lives {
    /// Takes a change between two polls.
    pub fn change(
        &mut self,
        before: Option<Poll>,
        poll: Poll,
        taken: &[LockRow],
        gone: &[LockRow],
    ) {
        if let Some(before) = before {
            self.seen_until(before);
        }
        for row in gone {
            if let Some(mut life) = self.live.remove(row) {
                life.absent_after = Some(poll);
                self.finished.push(life.seen_until(self.latest));
            }
        }
        self.seen_until(poll);
        for row in taken {
            let life = Life {
                row: *row,
                absent_before: before,
                first: poll,
                last: poll,
                absent_after: None,
            };
            // A recording that takes a row twice is defective; the older sighting says more.
            self.live.entry(*row).or_insert(life);
        }
    }

    /// Every live row was seen by this poll, too.
    pub fn seen_until(&mut self, poll: Poll) {
        if self.latest.is_none_or(|latest| poll.sent > latest.sent) {
            self.latest = Some(poll);
        }
    }

    /// Drops what ended before the next step.
    pub fn forget_finished(&mut self) {
        self.finished.clear();
    }

    /// All lives, those that go on last.
    pub fn iter(&self) -> impl Iterator<Item = Life> {
        let live = self.live.values().map(|life| life.seen_until(self.latest));
        self.finished.iter().copied().chain(live)
    }
}

impl Life {
    fn seen_until(mut self, poll: Option<Poll>) -> Self {
        if let Some(poll) = poll.filter(|poll| poll.sent > self.last.sent) {
            self.last = poll;
        }
        self
    }
}
