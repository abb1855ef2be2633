//! From the lives of lock rows to holds with bounds.
//!
//! A lock that a poll showed was held at some moment between the poll's sending and its answer.
//! So it was granted at the latest by the answer of the first poll that showed it, at the earliest
//! at the sending of the last poll that did not; likewise for its release. Where lockproof drives
//! the session, the brackets of its transactions and the rests between its statements tighten both.

use std::time::Duration;

use super::lives::Life;
use super::session::{Bracket, Session};
use super::{earliest, latest};
use crate::bounds::Bounds;
use crate::clock::Mono;
use crate::recording::format::Claim;

/// The four moments that bound a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edges {
    /// It was not granted before this.
    pub granted_from: Mono,
    /// It was granted by this.
    pub granted_by: Mono,
    /// It was not released before this.
    pub released_from: Mono,
    /// It was released by this; None: its end was not seen.
    pub released_by: Option<Mono>,
}

impl Edges {
    /// How long it was held.
    pub fn hold(&self) -> Bounds {
        Bounds::new(
            self.released_from.since(self.granted_by),
            self.released_by.map(|end| end.since(self.granted_from)),
        )
    }

    /// Two claims that follow each other without a moment between them, as one.
    pub fn joined_by(self, later: Self) -> Self {
        Self {
            granted_from: self.granted_from.min(later.granted_from),
            granted_by: self.granted_by.min(later.granted_by),
            released_from: self.released_from.max(later.released_from),
            released_by: match (self.released_by, later.released_by) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            },
        }
    }

    /// Two claims that may be one lock, or two of which the later was taken at once: held for as long
    /// as the longer one at least, and no longer than both.
    pub fn perhaps_joined_by(self, later: Self) -> Self {
        let longer = if later.hold().at_least() > self.hold().at_least() {
            later
        } else {
            self
        };
        Self {
            granted_by: longer.granted_by,
            released_from: longer.released_from,
            ..self.joined_by(later)
        }
    }
}

/// The edges of a life; `session` is the one that holds the lock, where lockproof drives it, and
/// `step` the time of the step.
pub fn edges(life: &Life, session: Option<&Session>, step: (Mono, Mono)) -> Edges {
    let unseen_from = life.absent_before.map_or(step.0, earliest);
    let unseen_to = life.absent_after.map(latest);
    let Some(session) = session else {
        return Edges {
            granted_from: unseen_from,
            granted_by: latest(life.first),
            released_from: earliest(life.last),
            released_by: unseen_to,
        };
    };
    let bracket = bracket_of(life, session, step.1);
    let seen = earliest(life.last);
    let released_by = if bracket.is_some_and(|bracket| session.hands_over(bracket)) {
        // Neither the reply nor a rest of the session ends what it prepared.
        unseen_to
    } else {
        unseen_to
            .map(|moment| session.down(moment))
            .into_iter()
            .chain(bracket.map(|b| b.closed))
            .min()
    };
    // Seen after the session had let go of it, by what was told: the polls know better.
    let released_by = match released_by {
        Some(moment) if moment < seen => unseen_to,
        moment => moment,
    };
    let released_from = match (session.up(seen), unseen_to) {
        (moment, Some(gone)) if moment > gone => seen,
        (moment, _) => moment,
    };
    Edges {
        granted_from: session
            .up(unseen_from)
            .max(bracket.map_or(step.0, |b| b.opened)),
        granted_by: session.down(latest(life.first)),
        released_from,
        released_by,
    }
}

/// The transaction that a life belongs to. A poll that lies across the border of two leaves it
/// open which one it saw: then both together bound it.
fn bracket_of(life: &Life, session: &Session, end: Mono) -> Option<Bracket> {
    session
        .touching(life.first.sent, life.first.received, end)
        .filter(|bracket| bracket.touches(life.last.sent, life.last.received))
        .reduce(|a, b| Bracket {
            opened: a.opened.min(b.opened),
            closed: a.closed.max(b.closed),
        })
}

/// How one lock goes on in a row of another process or transaction number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// PREPARE TRANSACTION hands its locks to a row without a process, under the number that the
    /// session had, or -1.
    HandedOver,
    /// VACUUM FULL keeps a session-level lock on the table while it vacuums what belongs to it in the
    /// transaction that follows. `VACUUM FULL t, t` looks the same, and lets go in between.
    CarriedOn,
}

/// How `later` is the same lock as `earlier`; None: it is another one.
///
/// A VACUUM begins with a transaction without locks of its own, so the number of the next VACUUM's is
/// more than one ahead: two of them are two holds.
pub fn succession(earlier: &Life, later: &Life, vacuum: impl Fn() -> bool) -> Option<Succession> {
    let same = earlier.row.relation == later.row.relation
        && earlier.row.mode == later.row.mode
        && earlier.row.claim == Claim::Granted
        && later.row.claim == Claim::Granted;
    let no_gap = earlier
        .absent_after
        .is_some_and(|gone| later.first.sent <= gone.sent)
        && earlier.first.sent <= later.first.sent;
    if !(same && no_gap) {
        return None;
    }
    let (backend, number) = earlier.row.vxid;
    let next = (backend, number.wrapping_add(1));
    if earlier.row.pid != 0 && later.row.pid == 0 {
        Some(Succession::HandedOver)
    } else if earlier.row.pid == later.row.pid && later.row.vxid == next && vacuum() {
        Some(Succession::CarriedOn)
    } else {
        None
    }
}

/// True when neither `later` nor any life that began after it can belong to the hold that began with
/// `life` and got as far as `tail`.
pub fn is_over(life: &Life, tail: &Life, later: &Life) -> bool {
    let began = later.first.sent;
    began > life.last.sent && tail.absent_after.is_none_or(|gone| began > gone.sent)
}

/// True when `other` is the same lock as `life`, held by another process of the same lock group.
///
/// A parallel worker holds its leader's locks beside it. Two processes that hold a mode which
/// conflicts with itself at one moment can only be such a group; for other modes `led` tells.
pub fn same_group(life: &Life, other: &Life, led: bool) -> bool {
    let same = life.row.relation == other.row.relation
        && life.row.mode == other.row.mode
        && life.row.pid != other.row.pid
        && life.row.pid != 0
        && other.row.pid != 0;
    // Seen by one poll, so held at one moment.
    let together = other.first.sent >= life.first.sent && other.first.sent <= life.last.sent;
    same && together && (led || life.row.mode.conflicts_with(life.row.mode))
}

/// How long a hold was waited for: its waiting row's life, ended by the grant.
pub fn wait(waiting: Option<Edges>, granted: &Edges) -> Bounds {
    match waiting {
        Some(asked) => Bounds::new(
            asked.released_from.since(asked.granted_by),
            Some(granted.granted_by.since(asked.granted_from)),
        ),
        // It was never seen to wait: it asked and got between the same two moments.
        None => Bounds::new(
            Duration::ZERO,
            Some(granted.granted_by.since(granted.granted_from)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::LockMode;
    use crate::recording::format::{LockRow, Poll};

    fn poll(at: u64) -> Poll {
        Poll {
            sent: Mono(at),
            received: Mono(at + 2),
        }
    }

    fn life(before: u64, first: u64, last: u64, after: u64) -> Life {
        Life {
            row: LockRow {
                pid: 7,
                vxid: (1, 1),
                relation: 16384,
                mode: LockMode::AccessExclusiveLock,
                claim: Claim::Granted,
            },
            absent_before: Some(poll(before)),
            first: poll(first),
            last: poll(last),
            absent_after: Some(poll(after)),
        }
    }

    fn nanos(bounds: Bounds) -> (u128, Option<u128>) {
        (
            bounds.at_least().as_nanos(),
            bounds.at_most().map(|most| most.as_nanos()),
        )
    }

    const STEP: (Mono, Mono) = (Mono(0), Mono(1_000));

    #[test]
    fn polls_alone_bound_it_from_both_sides() {
        let edges = edges(&life(100, 110, 190, 200), None, STEP);
        assert_eq!(nanos(edges.hold()), (190 - 112, Some(202 - 100)));
    }

    #[test]
    fn a_lock_seen_once_lasted_at_least_nothing() {
        let edges = edges(&life(100, 110, 110, 120), None, STEP);
        assert_eq!(nanos(edges.hold()), (0, Some(22)));
    }

    #[test]
    fn brackets_tighten_it() {
        let mut session = Session::default();
        session.sent(0, Mono(105), false);
        session.done(Mono(195), false);
        let edges = edges(&life(100, 110, 190, 200), Some(&session), STEP);
        assert_eq!(nanos(edges.hold()), (190 - 112, Some(195 - 105)));
    }

    #[test]
    fn rests_tighten_it_further() {
        // LOCK from 105 to 108, a rest, a query from 150 to 180, a rest, COMMIT from 195 to 199.
        let mut session = Session::default();
        session.sent(0, Mono(105), false);
        session.done(Mono(108), true);
        session.sent(1, Mono(150), false);
        session.done(Mono(180), true);
        session.sent(2, Mono(195), false);
        session.done(Mono(199), false);
        let edges = edges(&life(100, 110, 190, 200), Some(&session), STEP);
        assert_eq!(nanos(edges.hold()), (195 - 108, Some(199 - 105)));
    }

    #[test]
    fn a_lock_seen_in_a_rest_and_gone_in_it_was_not_held_to_its_end() {
        // The server told of the error at 120 and let go of the lock after the poll of 130.
        let mut session = Session::default();
        session.sent(0, Mono(105), false);
        session.done(Mono(120), false);
        session.sent(1, Mono(900), false);
        session.done(Mono(910), false);
        let hold = |last, gone| {
            let life = life(100, 110, last, gone);
            nanos(edges(&life, Some(&session), STEP).hold())
        };
        assert_eq!(hold(130, 140), (130 - 112, Some(142 - 105)));
        assert_eq!(hold(110, 140), (0, Some(120 - 105)));
    }

    #[test]
    fn a_prepared_transaction_holds_beyond_its_reply() {
        let mut session = Session::default();
        session.sent(0, Mono(105), false);
        session.done(Mono(120), false);
        session.prepared(Mono(120));
        let life = life(100, 110, 110, 500);
        let hold = edges(&life, Some(&session), STEP).hold();
        assert_eq!(nanos(hold), (0, Some(502 - 105)));
    }

    #[test]
    fn a_poll_across_two_transactions_is_bounded_by_both() {
        let mut session = Session::default();
        session.sent(0, Mono(100), false);
        session.done(Mono(111), false);
        session.sent(1, Mono(111), false);
        session.done(Mono(130), false);
        let edges = edges(&life(90, 110, 110, 140), Some(&session), STEP);
        assert_eq!(nanos(edges.hold()), (0, Some(30)));
    }

    #[test]
    fn a_parallel_worker_holds_its_leaders_lock() {
        let leader = life(100, 110, 190, 200);
        let mut worker = life(120, 130, 180, 190);
        worker.row.pid = 8;
        assert!(same_group(&leader, &worker, false));
        worker.row.mode = LockMode::ShareLock;
        let mut leader = leader;
        leader.row.mode = LockMode::ShareLock;
        assert!(
            !same_group(&leader, &worker, false),
            "SHARE does not conflict with itself"
        );
        assert!(same_group(&leader, &worker, true));
        worker.first = poll(200);
        assert!(!same_group(&leader, &worker, true), "it came later");
    }

    #[test]
    fn a_prepared_transaction_goes_on_holding() {
        let session_row = life(100, 110, 140, 150);
        let mut prepared = life(140, 150, 190, 200);
        prepared.row.pid = 0;
        let handed_over = Some(Succession::HandedOver);
        assert_eq!(succession(&session_row, &prepared, || false), handed_over);
        prepared.row.vxid = (-1, 9);
        assert_eq!(succession(&session_row, &prepared, || false), handed_over);
        let joined = edges(&session_row, None, STEP).joined_by(edges(&prepared, None, STEP));
        assert_eq!(nanos(joined.hold()), (190 - 112, Some(202 - 100)));
    }

    #[test]
    fn a_vacuums_lock_outlives_a_transaction_but_not_the_vacuum() {
        let first = life(100, 110, 140, 150);
        let mut second = life(140, 150, 190, 200);
        assert_eq!(
            succession(&first, &second, || true),
            None,
            "the same number"
        );
        second.row.vxid.1 = 2;
        assert_eq!(succession(&first, &second, || false), None, "no VACUUM");
        assert_eq!(
            succession(&first, &second, || true),
            Some(Succession::CarriedOn)
        );
        let joined = edges(&first, None, STEP).perhaps_joined_by(edges(&second, None, STEP));
        assert_eq!(nanos(joined.hold()), (190 - 152, Some(202 - 100)));
        second.row.vxid.1 = 4;
        assert_eq!(succession(&first, &second, || true), None, "another VACUUM");
    }
}
