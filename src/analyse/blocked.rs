//! Who stood behind the migration.

use super::lives::Life;
use crate::clock::Mono;
use crate::recording::format::Claim;

/// A session was seen to wait for these, by `pg_blocking_pids`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// When it was asked.
    pub at: Mono,
    /// When the answer was here; None: nobody said.
    pub by: Option<Mono>,
    /// Who waits.
    pub pid: i32,
    /// For whom.
    pub behind: Vec<i32>,
}

/// Those of the migration that a waiting session stood behind: by `pg_blocking_pids` where it was
/// asked in time, else by the lock rows themselves.
pub fn behind(
    waiting: &Life,
    sightings: &[Sighting],
    lives: &[&Life],
    is_migration: &dyn Fn(i32) -> bool,
) -> Vec<i32> {
    let from = waiting.first.sent;
    let to = waiting.absent_after.unwrap_or(waiting.last).received;
    let by_server = sightings
        .iter()
        .filter(|seen| seen.pid == waiting.row.pid && seen.at >= from && seen.at <= to)
        .flat_map(|seen| seen.behind.iter().copied());
    let by_rows = lives
        .iter()
        .filter(|other| {
            waiting.row.relation != 0
                && other.row.relation == waiting.row.relation
                && other.row.mode.conflicts_with(waiting.row.mode)
                && other.first.sent <= to
                && other.last.received >= from
                && (other.row.claim == Claim::Granted || other.first.sent <= waiting.first.sent)
        })
        .map(|other| other.row.pid);
    let mut behind: Vec<i32> = by_server
        .chain(by_rows)
        .filter(|pid| *pid != waiting.row.pid && is_migration(*pid))
        .collect();
    behind.sort_unstable();
    behind.dedup();
    behind
}
