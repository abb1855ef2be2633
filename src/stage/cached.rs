//! A restored snapshot, as a list has it: the same facts of a folder and of a volume.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::StageKind;

/// A restored snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cached {
    /// Identifies it; any beginning of it that no other has will do.
    pub id: String,
    /// The snapshot's name; None, as below: made before that was written down.
    pub snapshot: Option<String>,
    /// A folder of this machine, or a volume of the container engine.
    pub stage: StageKind,
    /// The folder, or the volume's name.
    pub place: String,
    /// What was restored: the snapshot's digest.
    pub digest: Option<String>,
    /// The database that it holds.
    pub database: Option<String>,
    /// The server that it is for: its version, of a container the major.
    pub server_version: Option<String>,
    /// The image of a container.
    pub image: Option<String>,
    /// The size of its files, with those of a clone that is kept for the next run.
    pub bytes: Option<u64>,
    /// About how many rows its tables have, by their statistics.
    pub rows: Option<u64>,
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// When a run last began to use it.
    pub used_at: Option<Timestamp>,
    /// The version of lockproof that made it.
    pub made_by: Option<String>,
    /// True while a run, or a stage that was kept, uses it.
    pub in_use: bool,
    /// What its own room calls it: the folder's name, or the volume's.
    #[serde(skip)]
    pub(super) key: String,
}

impl Cached {
    /// When it was last used, or made.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.used_at.max(self.made_at)
    }

    /// How long ago it was last used, or made. A time in the future is no time ago: a clock was set. None:
    /// nothing says when, and so nobody can call it old.
    pub fn unused_for(&self, now: Timestamp) -> Option<Duration> {
        Some(Duration::try_from(now.duration_since(self.last()?)).unwrap_or_default())
    }
}
