//! Courses that chance seldom makes, told poll by poll.

use std::time::Duration;

use lockproof::analyse::{Analyst, Hold};
use lockproof::clock::Mono;
use lockproof::pg::LockMode;
use lockproof::recording::format::{Backend, Claim, Event, LockRow, Outcome, Poll};

use super::history::{MS, TABLE, worker};
use Claim::{Granted, Waiting};

const PID: i32 = 70;

/// The one hold of a step of 100 ms that was polled at these milliseconds, each row seen by the polls
/// from its first to before its last; `others` is what sessions told.
fn hold(polls: &[u64], rows: &[(i32, Claim, u64, u64)], others: Vec<Event>) -> Hold {
    let poll = |at: u64| Poll {
        sent: Mono(at * MS),
        received: Mono(at * MS + 1),
    };
    let row = |(pid, claim, ..): &(i32, Claim, u64, u64)| LockRow {
        pid: *pid,
        vxid: (i64::from(*pid), 1),
        relation: TABLE,
        mode: LockMode::AccessExclusiveLock,
        claim: *claim,
    };
    let mut analyst = Analyst::new(super::header(1, Duration::ZERO));
    analyst.push(Event::ReplayStarted {
        replay: 1,
        repeat: 1,
        at: Mono(0),
    });
    analyst.push(Event::StepStarted {
        step: 0,
        at: Mono(0),
    });
    for polled in polls.windows(2) {
        let (before, now) = (polled[0], polled[1]);
        let at = |moment: u64| before < moment && moment <= now;
        analyst.push(Event::Locks {
            before: Some(poll(before)),
            poll: poll(now),
            taken: rows.iter().filter(|row| at(row.2)).map(row).collect(),
            gone: rows.iter().filter(|row| at(row.3)).map(row).collect(),
        });
    }
    for event in others {
        analyst.push(event);
    }
    analyst.push(Event::StepFinished {
        step: 0,
        at: Mono(100 * MS),
        attempts: 1,
        neighbours: 0,
        outcome: Outcome::Done,
    });
    let mut holds = analyst.finish().replays.remove(0).steps.remove(0).holds;
    assert_eq!(holds.len(), 1, "{holds:#?}");
    holds.remove(0)
}

/// A block of code that catches its `lock_timeout` asks again, in the same transaction.
#[test]
fn a_wait_in_vain_is_not_the_wait_for_the_grant() {
    let polls: Vec<u64> = (0..100).collect();
    let rows = [
        (PID, Waiting, 10, 40),
        (PID, Waiting, 50, 56),
        (PID, Granted, 56, 80),
    ];
    let wait = hold(&polls, &rows, Vec::new()).wait;
    let between = |from, to| (from..to).contains(&wait.at_most().unwrap_or_default().as_millis());
    assert!(wait.at_least().as_millis() < 6 && between(6, 9), "{wait:?}");
}

/// A worker is gone before its leader replies, whatever the polls saw of the end.
#[test]
fn a_worker_holds_no_longer_than_its_leaders_statement() {
    let rows = [(PID, Granted, 20, 60), (worker(PID), Granted, 20, 60)];
    let others = vec![
        Event::StatementSent {
            index: 0,
            pid: PID,
            at: Mono(10 * MS),
            sql: Some("REINDEX TABLE t".to_owned()),
            vacuum: false,
            lock_timeout: None,
        },
        Event::StatementDone {
            pid: PID,
            at: Mono(40 * MS),
            rows: 0,
            in_transaction: false,
            error: None,
        },
        Event::Backend {
            at: Mono(20 * MS),
            backend: Backend {
                pid: worker(PID),
                backend_type: "parallel worker".to_owned(),
                application: String::new(),
                leader: Some(PID),
                query: String::new(),
                ours: None,
            },
        },
    ];
    let hold = hold(&[0, 20, 39, 60], &rows, others).hold;
    assert_eq!(hold.at_most(), Some(Duration::from_millis(30)));
}
