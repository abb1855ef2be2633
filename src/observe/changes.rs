//! What changed between two polls of lock rows. No allocation once the buffers have grown.

use crate::pg::LockMode;
use crate::recording::format::{Claim, LockRow};

/// Splits two sorted lists of rows into those that are new and those that are no more.
pub fn diff(old: &[LockRow], new: &[LockRow], taken: &mut Vec<LockRow>, gone: &mut Vec<LockRow>) {
    taken.clear();
    gone.clear();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(a), Some(b)) if a == b => {
                old.next();
                new.next();
            }
            (Some(a), Some(b)) if a < b => gone.extend(old.next()),
            (Some(_), None) => gone.extend(old.next()),
            (_, Some(_)) => taken.extend(new.next()),
            (None, None) => return,
        }
    }
}

/// A row from the columns of `queries/locks.sql`; None for a mode that is no relation's, such as
/// that of a speculative token.
pub fn row(
    pid: Option<i32>,
    relation: Option<u32>,
    mode: &str,
    granted: bool,
    virtualtransaction: Option<&str>,
) -> Option<LockRow> {
    Some(LockRow {
        pid: pid.unwrap_or(0),
        vxid: virtualtransaction.and_then(vxid).unwrap_or_default(),
        relation: relation.unwrap_or(0),
        mode: mode.parse::<LockMode>().ok()?,
        claim: if granted {
            Claim::Granted
        } else {
            Claim::Waiting
        },
    })
}

/// `3/1234`, and `-1/1234` for a prepared transaction.
fn vxid(text: &str) -> Option<(i64, u32)> {
    let (backend, number) = text.split_once('/')?;
    Some((backend.parse().ok()?, number.parse().ok()?))
}

/// Gives rows without a transaction number the one that they had in `known`.
///
/// A transaction that ends gives up its number a moment before its locks: `ProcArrayEndTransaction`
/// clears `lxid`, `ResourceOwnerRelease` comes after it (`src/backend/access/transam/xact.c`). A poll
/// in between shows the same lock under the number 0; taken for another lock, it would end the first
/// one's hold too early. Both lists are short where it matters: no poll sees many ends at once.
pub fn keep_numbers(rows: &mut [LockRow], known: &[LockRow]) {
    for row in rows.iter_mut().filter(|row| row.vxid.1 == 0) {
        let same = known.iter().find(|other| {
            (other.pid, other.relation, other.mode, other.claim)
                == (row.pid, row.relation, row.mode, row.claim)
                && other.vxid.0 == row.vxid.0
        });
        if let Some(same) = same {
            row.vxid = same.vxid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(relation: u32) -> LockRow {
        row(
            Some(1),
            Some(relation),
            "AccessExclusiveLock",
            true,
            Some("3/14"),
        )
        .expect("a row")
    }

    #[test]
    fn rows_come_and_go() {
        let (mut taken, mut gone) = (Vec::new(), Vec::new());
        diff(
            &[at(1), at(2), at(4)],
            &[at(2), at(3), at(5)],
            &mut taken,
            &mut gone,
        );
        assert_eq!((taken, gone), (vec![at(3), at(5)], vec![at(1), at(4)]));
    }

    #[test]
    fn a_lock_outlives_its_transactions_number() {
        let ending = |text| row(Some(1), Some(7), "ShareLock", true, Some(text)).expect("a row");
        let mut rows = [ending("3/0"), at(8)];
        keep_numbers(&mut rows, &[ending("3/14")]);
        assert_eq!(rows, [ending("3/14"), at(8)]);
        let mut first_seen_at_its_end = [ending("3/0")];
        keep_numbers(&mut first_seen_at_its_end, &[at(8)]);
        assert_eq!(first_seen_at_its_end, [ending("3/0")]);
    }

    #[test]
    fn a_prepared_transaction_has_no_process() {
        let prepared = row(None, Some(9), "ShareLock", true, Some("-1/77")).expect("a row");
        assert_eq!((prepared.pid, prepared.vxid), (0, (-1, 77)));
    }

    #[test]
    fn other_modes_are_no_rows() {
        assert_eq!(row(Some(1), None, "SIReadLock", true, None), None);
    }
}
