//! What else goes on on a server: somebody who is in the migration's way, at a time or beside a step.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody in the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Disturbance {
    /// Its name, unique.
    pub name: String,
    /// What it does.
    pub kind: DisturbanceKind,
    /// When it begins.
    pub begins: Begins,
    /// How long it stays, from when it is in place; None: until it has done all that it does, at the longest to the
    /// end of the step that it began with, or of the replay.
    pub lasts: Option<Duration>,
}

/// When a disturbance begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begins {
    /// So long after the replay's first step began.
    After(
        #[serde(with = "crate::clock::nanos")]
        #[schemars(with = "u64")]
        Duration,
    ),
    /// With this step, from 0: it is in place before the step's first statement.
    With(usize),
}

/// What a disturbance does.
#[derive(Debug, Clone, PartialEq)]
pub enum DisturbanceKind {
    /// A transaction that reads the table and goes on, as a report does.
    LongReader {
        /// The table.
        relation: String,
    },
    /// The real `pg_dump` of the database: ACCESS SHARE on every table.
    PgDump,
    /// A transaction that read or wrote the table and then does nothing.
    IdleTransaction {
        /// The table.
        relation: String,
        /// Whether it wrote.
        wrote: Wrote,
    },
    /// A transaction that changes a row of each of these in this order, with a pause after each, and takes it back;
    /// again and again.
    Writer {
        /// The tables, at least two.
        relations: Vec<String>,
        /// After each.
        pause: Duration,
    },
    /// A session that wants an advisory lock which another one holds.
    AdvisoryWaiter {
        /// The key.
        key: i64,
        /// How it waits.
        wants: Wants,
    },
    /// An autovacuum of the table that does not yield.
    WraparoundVacuum {
        /// The table.
        relation: String,
    },
    /// A VACUUM that gives the empty end of the table back.
    TruncatingVacuum {
        /// The table.
        relation: String,
        /// The rows in this part of the table, at its end, are deleted first: from 0 to 1.
        deletes: f64,
    },
}

/// Whether a transaction wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// It only read.
    No,
    /// It changed a row, which it keeps locked.
    Yes,
}

/// How a lock is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// `pg_advisory_lock`: one statement, whose snapshot is as old as its wait.
    Waiting,
    /// `pg_try_advisory_lock`, four times a second, with nothing open between.
    Polling,
}

impl DisturbanceKind {
    /// Its name in scenarios and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LongReader { .. } => "long-reader",
            Self::PgDump => "pg-dump",
            Self::IdleTransaction { .. } => "idle-transaction",
            Self::Writer { .. } => "writer",
            Self::AdvisoryWaiter { .. } => "advisory-waiter",
            Self::WraparoundVacuum { .. } => "wraparound-vacuum",
            Self::TruncatingVacuum { .. } => "truncating-vacuum",
        }
    }
}
