//! The eight table-level lock modes and which of them conflict.
//!
//! Source: PostgreSQL's documentation, "Explicit Locking", table "Conflicting Lock Modes", and
//! `LockConflicts` in `src/backend/storage/lmgr/lock.c`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A table-level lock mode, under the name that `pg_locks.mode` gives it; weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "PascalCase")]
pub enum LockMode {
    /// Taken by SELECT.
    AccessShareLock,
    /// Taken by SELECT FOR UPDATE and its kin.
    RowShareLock,
    /// Taken by INSERT, UPDATE, DELETE and MERGE.
    RowExclusiveLock,
    /// Taken by VACUUM, ANALYZE, CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT.
    ShareUpdateExclusiveLock,
    /// Taken by CREATE INDEX; blocks writes.
    ShareLock,
    /// Taken by ADD FOREIGN KEY on both tables and by CREATE TRIGGER; blocks writes.
    ShareRowExclusiveLock,
    /// Taken by REFRESH MATERIALIZED VIEW CONCURRENTLY; blocks writes and row locks.
    ExclusiveLock,
    /// Taken by most of ALTER TABLE; blocks everything, plain reads included.
    AccessExclusiveLock,
}

use LockMode::{
    AccessExclusiveLock, AccessShareLock, ExclusiveLock, RowExclusiveLock, RowShareLock, ShareLock,
    ShareRowExclusiveLock, ShareUpdateExclusiveLock,
};

impl LockMode {
    /// Every mode, weakest first.
    pub const ALL: [Self; 8] = [
        AccessShareLock,
        RowShareLock,
        RowExclusiveLock,
        ShareUpdateExclusiveLock,
        ShareLock,
        ShareRowExclusiveLock,
        ExclusiveLock,
        AccessExclusiveLock,
    ];

    /// The modes that the sampler looks for: all that block an application's writes or reads.
    pub const WATCHED: [Self; 4] = [
        ShareLock,
        ShareRowExclusiveLock,
        ExclusiveLock,
        AccessExclusiveLock,
    ];

    /// `AccessExclusiveLock`, as `pg_locks.mode` has it.
    pub fn name(self) -> &'static str {
        match self {
            AccessShareLock => "AccessShareLock",
            RowShareLock => "RowShareLock",
            RowExclusiveLock => "RowExclusiveLock",
            ShareUpdateExclusiveLock => "ShareUpdateExclusiveLock",
            ShareLock => "ShareLock",
            ShareRowExclusiveLock => "ShareRowExclusiveLock",
            ExclusiveLock => "ExclusiveLock",
            AccessExclusiveLock => "AccessExclusiveLock",
        }
    }

    /// `ACCESS EXCLUSIVE`, as the documentation and `LOCK TABLE` have it.
    pub fn sql(self) -> &'static str {
        match self {
            AccessShareLock => "ACCESS SHARE",
            RowShareLock => "ROW SHARE",
            RowExclusiveLock => "ROW EXCLUSIVE",
            ShareUpdateExclusiveLock => "SHARE UPDATE EXCLUSIVE",
            ShareLock => "SHARE",
            ShareRowExclusiveLock => "SHARE ROW EXCLUSIVE",
            ExclusiveLock => "EXCLUSIVE",
            AccessExclusiveLock => "ACCESS EXCLUSIVE",
        }
    }

    /// What an application cannot do meanwhile, in words.
    pub fn blocks(self) -> &'static str {
        match self {
            AccessExclusiveLock => "reads and writes",
            ExclusiveLock | ShareRowExclusiveLock | ShareLock => "writes",
            _ => "neither reads nor writes",
        }
    }

    /// True when two sessions cannot hold these two modes on one relation at a time.
    pub fn conflicts_with(self, other: Self) -> bool {
        // One bit for each mode, weakest first, as in LockConflicts[].
        const CONFLICTS: [u8; 8] = [
            0b1000_0000,
            0b1100_0000,
            0b1111_0000,
            0b1111_1000,
            0b1110_1100,
            0b1111_1100,
            0b1111_1110,
            0b1111_1111,
        ];
        CONFLICTS[self as usize] & (1 << other as usize) != 0
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no lock mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no lock mode")]
pub struct UnknownMode(pub String);

impl FromStr for LockMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == text || mode.sql().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_symmetric() {
        for a in LockMode::ALL {
            for b in LockMode::ALL {
                assert_eq!(a.conflicts_with(b), b.conflicts_with(a), "{a} and {b}");
            }
        }
    }

    #[test]
    fn conflicts_are_those_of_the_documentation() {
        let blocked_by = |mode: LockMode| -> Vec<&str> {
            LockMode::ALL
                .into_iter()
                .filter(|other| mode.conflicts_with(*other))
                .map(LockMode::sql)
                .collect()
        };
        assert_eq!(blocked_by(AccessShareLock), ["ACCESS EXCLUSIVE"]);
        assert_eq!(
            blocked_by(RowExclusiveLock),
            [
                "SHARE",
                "SHARE ROW EXCLUSIVE",
                "EXCLUSIVE",
                "ACCESS EXCLUSIVE"
            ]
        );
        assert_eq!(
            blocked_by(ShareLock),
            [
                "ROW EXCLUSIVE",
                "SHARE UPDATE EXCLUSIVE",
                "SHARE ROW EXCLUSIVE",
                "EXCLUSIVE",
                "ACCESS EXCLUSIVE"
            ]
        );
        assert_eq!(blocked_by(AccessExclusiveLock).len(), 8);
    }

    #[test]
    fn names_go_both_ways() {
        for mode in LockMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(mode.sql().to_lowercase().parse(), Ok(mode));
        }
        assert!("TupleLock".parse::<LockMode>().is_err());
    }
}
