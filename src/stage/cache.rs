//! Everything that is restored and kept, in a cache folder and on a container engine, with one face.
//!
//! Lists it, says what a prune would take, and removes. Nothing in use is removed: that is asked again
//! under the lock of each base, not believed from the list.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::StageKind;
use super::docker::{self, Docker};
use super::local;
use crate::{Error, Result};

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
    /// The size of its files.
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
    /// What its own room calls it.
    #[serde(skip)]
    key: String,
}

impl Cached {
    /// How long ago it was last used, or made. A time in the future is no time ago: a clock was set. None:
    /// nothing says when, and so nobody can call it old.
    pub fn unused_for(&self, now: Timestamp) -> Option<Duration> {
        let last = self.used_at.max(self.made_at)?;
        Some(Duration::try_from(now.duration_since(last)).unwrap_or_default())
    }

    fn of_folder(cache: &Path, base: local::BaseFacts) -> Self {
        Self {
            id: base
                .key
                .rsplit_once('_')
                .map_or(base.key.as_str(), |(_, digest)| digest)
                .to_owned(),
            snapshot: base.snapshot,
            stage: StageKind::Local,
            place: cache.join("bases").join(&base.key).display().to_string(),
            digest: Some(base.base_digest),
            database: Some(base.database),
            server_version: Some(base.server_version),
            image: None,
            bytes: Some(base.bytes),
            rows: base.rows,
            made_at: base.made_at,
            used_at: base.used_at,
            made_by: base.made_by,
            in_use: base.in_use,
            key: base.key,
        }
    }

    fn of_volume(base: docker::BaseFacts) -> Self {
        Self {
            id: base.key,
            snapshot: base.snapshot,
            stage: StageKind::Docker,
            place: base.volume.clone(),
            digest: base.base_digest,
            database: base.database,
            server_version: base.server_version,
            image: base.image,
            bytes: base.bytes,
            rows: base.rows,
            made_at: base.made_at,
            used_at: base.used_at,
            made_by: base.made_by,
            in_use: base.in_use,
            key: base.volume,
        }
    }
}

/// All that is restored, by the snapshot's name and then by id; without an engine, what is in the folder.
///
/// # Errors
/// The engine answered, and then did not say what it has.
pub async fn list(cache: &Path, engine: Option<&Docker>) -> Result<Vec<Cached>> {
    let mut all: Vec<Cached> = local::list(cache)
        .into_iter()
        .map(|base| Cached::of_folder(cache, base))
        .collect();
    if let Some(docker) = engine {
        all.extend(docker.bases().await?.into_iter().map(Cached::of_volume));
    }
    all.sort_by(|a, b| (&a.snapshot, &a.id).cmp(&(&b.snapshot, &b.id)));
    Ok(all)
}

/// Removes one of them.
///
/// # Errors
/// It is in use, or cannot be removed.
pub async fn remove(cache: &Path, engine: Option<&Docker>, cached: &Cached) -> Result<()> {
    let gone = match (cached.stage, engine) {
        (StageKind::Docker, Some(docker)) => docker.remove_base(&cached.key).await?,
        (StageKind::Local, _) => {
            local::remove_base(cache, &cached.key)?;
            true
        }
        _ => {
            return Err(Error::defect(
                "a volume was to be removed without its engine",
            ));
        }
    };
    if gone {
        return Ok(());
    }
    Err(
        Error::stage(format!("the restored snapshot `{}` is in use", cached.id))
            .help("wait for the run that uses it, or end it; a stage that was kept ends with `lockproof clean --all`"),
    )
}

/// What a prune leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Only what was used within this time; None: however long ago.
    pub used_within: Option<Duration>,
    /// Only so many bytes in all, what was used last first; None: however many.
    pub bytes: Option<u64>,
}

/// Why a prune takes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody used it for so long.
    Unused(Duration),
    /// Everything that was used later fills the cache by itself.
    NoRoom,
}

/// What a prune takes, what was unused the longest first. What is in use is counted, and never taken.
pub fn prunable(all: &[Cached], keep: Keep, now: Timestamp) -> Vec<(&Cached, Reason)> {
    let idle = |cached: &Cached| cached.unused_for(now).unwrap_or_default();
    let mut by_use: Vec<&Cached> = all.iter().collect();
    // Of those of one moment, the larger goes first.
    by_use.sort_by(|a, b| (idle(b), b.bytes, &a.id).cmp(&(idle(a), a.bytes, &b.id)));
    let mut total: u64 = all.iter().filter_map(|cached| cached.bytes).sum();
    let mut taken = Vec::new();
    for cached in by_use.into_iter().filter(|cached| !cached.in_use) {
        let idle = idle(cached);
        let reason = if keep.used_within.is_some_and(|limit| idle > limit) {
            Reason::Unused(idle)
        } else if keep.bytes.is_some_and(|limit| total > limit) && cached.bytes != Some(0) {
            Reason::NoRoom
        } else {
            continue;
        };
        total = total.saturating_sub(cached.bytes.unwrap_or_default());
        taken.push((cached, reason));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * DAY).expect("a time")
    }

    fn cached(id: &str, used: Option<i64>, bytes: u64) -> Cached {
        Cached {
            id: id.to_owned(),
            snapshot: None,
            stage: StageKind::Local,
            place: String::new(),
            digest: None,
            database: None,
            server_version: None,
            image: None,
            bytes: Some(bytes),
            rows: None,
            made_at: used.map(at),
            used_at: used.map(at),
            made_by: None,
            in_use: false,
            key: String::new(),
        }
    }

    fn taken(all: &[Cached], days: Option<u64>, bytes: Option<u64>) -> Vec<&str> {
        let keep = Keep {
            used_within: days.map(|days| Duration::from_secs(days * DAY.unsigned_abs())),
            bytes,
        };
        prunable(all, keep, at(0))
            .into_iter()
            .map(|(cached, _)| cached.id.as_str())
            .collect()
    }

    #[test]
    fn what_was_unused_the_longest_goes_first() {
        let all = [
            cached("new", Some(-1), 10),
            cached("old", Some(-40), 10),
            cached("middle", Some(-20), 10),
        ];
        assert_eq!(taken(&all, Some(30), None), ["old"]);
        assert_eq!(taken(&all, Some(10), None), ["old", "middle"]);
        assert_eq!(taken(&all, None, Some(30)), [""; 0]);
        assert_eq!(taken(&all, None, Some(29)), ["old"]);
        assert_eq!(taken(&all, None, Some(10)), ["old", "middle"]);
        assert_eq!(taken(&all, None, Some(0)), ["old", "middle", "new"]);
        // What age takes makes room.
        assert_eq!(taken(&all, Some(30), Some(20)), ["old"]);
        assert_eq!(taken(&all, None, None), [""; 0]);
    }

    #[test]
    fn what_is_in_use_fills_the_cache_and_stays() {
        let mut all = [cached("used", Some(-90), 50), cached("free", Some(-1), 10)];
        all[0].in_use = true;
        assert_eq!(taken(&all, Some(1), None), [""; 0]);
        assert_eq!(taken(&all, None, Some(50)), ["free"]);
    }

    #[test]
    fn a_clock_that_was_set_makes_nothing_old() {
        let all = [
            cached("tomorrow", Some(1), 10),
            cached("in a century", Some(36_500), 10),
            cached("unknown", None, 10),
        ];
        assert_eq!(taken(&all, Some(0), None), [""; 0]);
        // Used before it was made: the later of both counts.
        let mut odd = cached("odd", Some(-90), 10);
        odd.made_at = Some(at(-1));
        assert_eq!(
            odd.unused_for(at(0)),
            Some(Duration::from_secs(DAY.unsigned_abs()))
        );
        for time in [Timestamp::MIN, Timestamp::MAX] {
            odd.made_at = Some(time);
            odd.used_at = None;
            for now in [Timestamp::MIN, Timestamp::MAX, at(0)] {
                assert!(odd.unused_for(now).is_some());
            }
        }
    }
}
