//! The bases of a cache folder: listed, and removed unless they are in use.
//!
//! Whoever uses a base holds its lock file, shared, and sets that file's time: the last use.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use super::base::lock_file;
use super::folder::{cannot, remove};
use super::marker::{MARKER, read_marker};
use super::spare::Spare;
use crate::stage::StageKind;
use crate::stage::cached::Cached;
use crate::{Error, Result};

/// The bases of the cache, by key.
pub fn list(cache: &Path) -> Vec<Cached> {
    let mut bases: Vec<Cached> = std::fs::read_dir(cache.join("bases"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let marker = read_marker(&entry.path())?;
            let lock = cache.join("locks").join(format!("{}.lock", marker.key));
            // A key is the server's version and the digest, in which lists tell bases apart.
            let id = marker
                .key
                .rsplit_once('_')
                .map_or(&*marker.key, |(_, id)| id);
            Some(Cached {
                id: id.to_owned(),
                snapshot: marker.snapshot,
                stage: StageKind::Local,
                place: cache.join("bases").join(&marker.key).display().to_string(),
                digest: Some(marker.base_digest),
                database: Some(marker.database),
                server_version: Some(marker.server_version),
                image: None,
                bytes: Some(marker.bytes + Spare::of(&entry.path()).bytes()),
                rows: marker.rows,
                made_at: marker
                    .made_at
                    .or_else(|| modified(&entry.path().join(MARKER))),
                used_at: modified(&lock),
                made_by: marker.made_by,
                in_use: is_held(&lock),
                key: marker.key,
            })
        })
        .collect();
    bases.sort_by(|a, b| a.key.cmp(&b.key));
    bases
}

/// How many folders of bases are closed to this account, so that a list cannot show them.
pub fn closed(cache: &Path) -> usize {
    let denied = std::io::ErrorKind::PermissionDenied;
    std::fs::read_dir(cache.join("bases"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let marker = entry.path().join(MARKER).metadata();
            marker.is_err_and(|error| error.kind() == denied)
        })
        .count()
}

/// Removes a base from the cache; refuses one that a run uses.
///
/// # Errors
/// It is in use, or cannot be removed.
pub fn remove_base(cache: &Path, key: &str) -> Result<()> {
    let folder = cache.join("bases").join(key);
    if key.contains('/') || key.starts_with('.') || !folder.is_dir() {
        return Err(Error::usage(format!(
            "there is no base `{key}` in `{}`",
            cache.join("bases").display()
        )));
    }
    let lock = lock_file(cache, key)?;
    if lock.try_lock().is_err() {
        return Err(Error::stage(format!("the base `{key}` is in use"))
            .help("wait for the run that uses it, or end it"));
    }
    // The marker first: what is half removed is no base.
    let marker = folder.join(MARKER);
    std::fs::remove_file(&marker).map_err(|error| cannot("remove", &marker, error))?;
    remove(&folder)
}

/// Notes that a base is used now, on its open lock file. A cache that cannot note it works all the same.
pub(super) fn note_use(lock: &File) {
    let _ = lock.set_modified(SystemTime::from(crate::clock::wall()));
}

/// Bytes that an ordinary account may still use on the disk of a folder.
pub fn free(folder: &Path) -> Option<u64> {
    super::disk::free(folder)
}

fn modified(path: &Path) -> Option<Timestamp> {
    let time = path.metadata().and_then(|facts| facts.modified()).ok()?;
    Timestamp::try_from(time).ok()
}

/// For an instant this holds the lock itself; a run that begins just then looks again.
fn is_held(lock: &Path) -> bool {
    // For reading: whoever may only look may look.
    File::open(lock).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}
