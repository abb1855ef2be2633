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
    /// How long it stays; None: to the end of the step that it began with, or of the replay.
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
    /// A transaction that locks these in this order, with a pause between them, again and again.
    Writer {
        /// The tables, at least two.
        relations: Vec<String>,
        /// Between one and the next.
        pause: Duration,
    },
    /// A session in a transaction that waits for an advisory lock which another one holds.
    AdvisoryWaiter {
        /// The key.
        key: i64,
    },
    /// An autovacuum of the table that does not yield.
    WraparoundVacuum {
        /// The table.
        relation: String,
    },
    /// A VACUUM that gives the empty end of the table back: many rows at its end are deleted first.
    TruncatingVacuum {
        /// The table.
        relation: String,
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
