//! `lockproof snapshot …`: what is typed there.

use clap::Subcommand;

use super::cached::{SnapshotInspect, SnapshotLs, SnapshotPrune, SnapshotRm};

/// What to do with snapshots.
#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotCommand {
    /// List the restored snapshots
    ///
    /// Those of the cache folder and those of the container engine, with their sizes, and when a run last
    /// used each.
    Ls(SnapshotLs),
    /// Say everything that is known of a restored snapshot
    Inspect(SnapshotInspect),
    /// Remove restored snapshots; the next run that needs one restores it anew
    ///
    /// One that a run uses is refused.
    Rm(SnapshotRm),
    /// Remove the restored snapshots that nobody used for long, or that are too many
    ///
    /// Without options: what no run used within 30 days. A snapshot that changes is restored anew each time,
    /// and what it was before is never asked for again. What is in use is never removed.
    Prune(SnapshotPrune),
}

/// Of `snapshot` itself.
pub(super) const SNAPSHOT_HELP: &str = "\
Examples:
  lockproof snapshot ls
  lockproof snapshot prune --max-size 50GiB

A snapshot is restored once for each server and image, and every run gets a copy of that. `snapshot`
is about what was restored; the snapshots themselves are folders with a snapshot.toml.";
