//! What truly happened: sessions side by side, their transactions and what each of them locked.

use lockproof::pg::LockMode;
use lockproof::recording::format::{Claim, LockRow};
use proptest::prelude::*;

pub const MS: u64 = 1_000_000;
/// The first relation; each session has ten of its own, the last of them made by the step itself.
pub const TABLE: u32 = 16_384;

const MODES: [LockMode; 4] = [
    LockMode::AccessExclusiveLock,
    LockMode::ExclusiveLock,
    LockMode::ShareRowExclusiveLock,
    LockMode::ShareLock,
];

/// Whose a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Driven by lockproof.
    Driven,
    /// A program's, under the migration's name.
    Program,
    /// A client's of another name, beside a program on a server with strangers.
    Stranger,
    /// Autovacuum's.
    Autovacuum,
}

/// A session.
#[derive(Debug, Clone)]
pub struct Lane {
    pub pid: i32,
    pub who: Who,
    pub statements: Vec<Statement>,
    pub locks: Vec<Lock>,
}

/// A statement on the wire.
#[derive(Debug, Clone)]
pub struct Statement {
    pub text: &'static str,
    pub sent: u64,
    /// None: the connection broke.
    pub done: Option<u64>,
    pub in_transaction: bool,
}

/// A lock as it truly went.
#[derive(Debug, Clone)]
pub struct Lock {
    pub pid: i32,
    pub vxid: (i64, u32),
    pub relation: u32,
    pub mode: LockMode,
    pub asked: u64,
    /// None: it was waited for in vain.
    pub granted: Option<u64>,
    /// The end of the hold, or of the wait.
    pub released: u64,
    /// When PREPARE TRANSACTION took it over.
    pub prepared: Option<u64>,
    /// A parallel worker holds it as well for this part of the time.
    pub worker: Option<(u64, u64)>,
}

impl Lock {
    pub fn is_held(&self, at: u64) -> bool {
        self.granted.is_some_and(|granted| granted <= at) && at < self.released
    }

    /// The rows that the server shows at a moment.
    pub fn rows(&self, at: u64) -> Vec<LockRow> {
        let row = |pid, vxid, claim| LockRow {
            pid,
            vxid,
            relation: self.relation,
            mode: self.mode,
            claim,
        };
        if at < self.asked || at >= self.released {
            return Vec::new();
        }
        if !self.is_held(at) {
            return vec![row(self.pid, self.vxid, Claim::Waiting)];
        }
        let holder = match self.prepared {
            Some(prepared) if prepared <= at => (0, (-1, self.vxid.1 + 1_000)),
            _ => (self.pid, self.vxid),
        };
        let mut rows = vec![row(holder.0, holder.1, Claim::Granted)];
        if self.worker.is_some_and(|(from, to)| from <= at && at < to) {
            let vxid = (self.vxid.0 + 100, self.vxid.1);
            rows.push(row(worker(self.pid), vxid, Claim::Granted));
        }
        rows
    }

    /// True on a relation that the step made.
    pub fn is_new(&self) -> bool {
        self.relation % 10 == 3
    }
}

/// The parallel worker of a session.
pub fn worker(pid: i32) -> i32 {
    pid + 1_000
}

/// A session's course in numbers that do not depend on each other.
#[derive(Debug, Clone)]
pub struct Course(Vec<Transaction>);

#[derive(Debug, Clone)]
struct Transaction {
    statements: Vec<Work>,
    end: End,
    give: f64,
}

#[derive(Debug, Clone)]
struct Work {
    length: u64,
    rest: u64,
    /// A call of code that may hide subtransactions.
    hides: bool,
    locks: Vec<Wanted>,
}

#[derive(Debug, Clone)]
struct Wanted {
    table: u32,
    mode: LockMode,
    ask: f64,
    grant: f64,
    give: f64,
    worker: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    /// SAVEPOINT, work, ROLLBACK TO, and then COMMIT.
    Savepoint,
    Error,
    Prepare,
    Lost,
}

pub fn course() -> impl Strategy<Value = Course> {
    let part = || 0.0..1.0f64;
    let mode = prop::sample::select(&MODES[..]);
    let wanted = (
        0..4u32,
        mode,
        part(),
        part(),
        part(),
        prop::bool::weighted(0.2),
    );
    let wanted = wanted.prop_map(|(table, mode, ask, grant, give, worker)| Wanted {
        table,
        mode,
        // Most locks are there at once.
        ask: if ask < 0.5 { grant } else { ask },
        grant,
        give,
        worker,
    });
    let work = (1..15 * MS, 0..3 * MS, prop::bool::weighted(0.2));
    let work =
        (work, prop::collection::vec(wanted, 0..3)).prop_map(|((length, rest, hides), locks)| {
            Work {
                length,
                rest,
                hides,
                locks,
            }
        });
    let end = prop_oneof![
        6 => Just(End::Commit),
        2 => Just(End::Savepoint),
        1 => Just(End::Error),
        1 => Just(End::Prepare),
        1 => Just(End::Lost),
    ];
    let transaction = (prop::collection::vec(work, 1..7), end, part());
    let transaction = transaction.prop_map(|(statements, end, give)| Transaction {
        statements,
        end,
        give,
    });
    prop::collection::vec(transaction, 1..4).prop_map(Course)
}

fn within((from, to): (u64, u64), part: f64) -> u64 {
    from + ((to - from) as f64 * part) as u64
}

/// The session that runs a course from `start`; `number` tells sessions and their tables apart.
pub fn lane(course: &Course, who: Who, number: u32, start: u64) -> Lane {
    let mut lane = Lane {
        pid: 70 + number as i32,
        who,
        statements: Vec::new(),
        locks: Vec::new(),
    };
    let mut now = start;
    let last = course.0.len() - 1;
    for (index, transaction) in course.0.iter().enumerate() {
        let first = TABLE - TABLE % 10 + number * 10;
        let vxid = (i64::from(number) + 3, index as u32 + 1);
        now = run(&mut lane, transaction, index == last, (first, vxid), now);
    }
    lane
}

/// Runs a transaction; the time after it.
fn run(
    lane: &mut Lane,
    transaction: &Transaction,
    is_last: bool,
    (first, vxid): (u32, (i64, u32)),
    mut now: u64,
) -> u64 {
    let spans: Vec<(u64, u64)> = transaction
        .statements
        .iter()
        .map(|work| {
            let sent = now + work.rest;
            now = sent + work.length;
            (sent, now)
        })
        .collect();
    let count = spans.len();
    let end = match transaction.end {
        End::Prepare if count < 3 => End::Commit,
        End::Savepoint if count < 5 => End::Commit,
        End::Lost if !is_last => End::Commit,
        end => end,
    };
    let ending = spans[count - 1];
    let begin_and_commit = count > 1;
    let prepared = within(ending, transaction.give);
    let mut taken = Vec::new();
    for (index, (work, span)) in transaction.statements.iter().zip(&spans).enumerate() {
        let is_end = index == count - 1;
        let text = match end {
            _ if begin_and_commit && index == 0 => "BEGIN",
            End::Prepare if is_end => "PREPARE TRANSACTION ?",
            End::Commit | End::Savepoint if begin_and_commit && is_end => "COMMIT",
            End::Savepoint if index == 1 => "SAVEPOINT a",
            End::Savepoint if index == 3 => "ROLLBACK TO a",
            _ if work.hides => "SELECT f()",
            _ => "ALTER TABLE t ADD a int",
        };
        lane.statements.push(Statement {
            text,
            sent: span.0,
            done: (end != End::Lost || !is_end).then_some(span.1),
            in_transaction: !is_end,
        });
        if !matches!(text, "SELECT f()" | "ALTER TABLE t ADD a int") {
            continue;
        }
        let fails = end == End::Error && is_end;
        for wanted in &work.locks {
            let relation = first + wanted.table + if end == End::Prepare { 5 } else { 0 };
            // Once a transaction: a lock that is let go and taken again is one row to every poll.
            if taken.contains(&relation) {
                continue;
            }
            taken.push(relation);
            let granted = within(*span, wanted.grant);
            let asked = within(
                (span.0, granted),
                wanted.ask / wanted.grant.max(wanted.ask).max(f64::MIN_POSITIVE),
            );
            let released = if fails || (work.hides && wanted.give < 0.3) {
                within((granted, span.1), wanted.give)
            } else if end == End::Savepoint && index == 2 {
                within(spans[3], wanted.give)
            } else if end == End::Lost {
                within(
                    (ending.0.max(granted), ending.1 + 40 * MS),
                    transaction.give,
                )
            } else {
                within((ending.0.max(granted), ending.1), transaction.give)
            };
            let length = released - granted;
            lane.locks.push(Lock {
                pid: lane.pid,
                vxid,
                relation,
                mode: wanted.mode,
                asked,
                granted: (!fails).then_some(granted),
                released,
                prepared: None,
                worker: (wanted.worker && end != End::Prepare)
                    .then_some((granted + length / 4, released - length / 4)),
            });
        }
    }
    if end == End::Prepare {
        let (sent, done) = (now + 2 * MS, now + 3 * MS);
        for lock in lane.locks.iter_mut().filter(|lock| lock.vxid == vxid) {
            if lock.released >= prepared {
                lock.prepared = Some(prepared);
                lock.released = within((sent, done), transaction.give);
            }
        }
        lane.statements.push(Statement {
            text: "COMMIT PREPARED ?",
            sent,
            done: Some(done),
            in_transaction: false,
        });
        now = done;
    }
    if end == End::Lost { now + 40 * MS } else { now }
}
