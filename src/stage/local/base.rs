//! The cache of restored data folders: each made once, whole or not at all, and only ever copied.
//!
//! `<cache>/bases/<key>/{data,base.json}`, built in `.building-<key>-<run>` next to it and renamed
//! when it is complete and on the disk. `<cache>/locks/<key>.lock` is held exclusively by a builder
//! or a remover, shared by whoever uses the base.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::binaries::Installation;
use super::build::build;
use super::copy::{Job, Made, copy};
use super::folder::{cannot, remove};
use super::listing::Listing;
use super::marker::{Marker, key, read_marker};
use super::shelf;
use super::spare::Spare;
use super::tree::Links;
use super::user::Account;
use crate::stage::admin::Admin;
use crate::stage::{Fill, Request, Watch};
use crate::{Error, Result};

/// A restored data folder of the cache. While this value lives, nobody removes the folder.
#[derive(Debug)]
pub struct Base {
    folder: PathBuf,
    marker: Marker,
    reused: bool,
    pub(super) request: Request,
    pub(super) installation: Installation,
    pub(super) account: Account,
    in_use: File,
}

impl Base {
    /// Its name in the cache.
    pub fn key(&self) -> &str {
        &self.marker.key
    }

    /// The full version of the server that it is for, such as `15.20`.
    pub fn server_version(&self) -> &str {
        &self.marker.server_version
    }

    /// The size of its files.
    pub fn bytes(&self) -> u64 {
        self.marker.bytes
    }

    pub(super) fn admin(&self) -> Admin {
        Admin {
            superuser: self.marker.superuser.clone(),
            // Another server's cluster need not have the one that `initdb` makes.
            database: self.marker.database.clone(),
        }
    }

    /// True when it was there already and nothing was restored.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// The data folder that clones are copied from.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where the last run's clone may be.
    pub(super) fn spare(&self) -> Spare {
        Spare::of(&self.folder)
    }

    /// Nobody removes the folder while this is open either.
    pub(super) fn also_in_use(&self) -> Result<File> {
        self.in_use
            .try_clone()
            .map_err(|error| cannot("open the lock of", &self.folder, error))
    }

    /// Clones its data, and sees on the way that they are what they were when it was made.
    pub(super) async fn clone_into(&self, to: &Path, watch: &dyn Watch) -> Result<Made> {
        let listing = Listing::read(&self.folder).ok_or_else(|| {
            Error::stage(format!(
                "the restored snapshot `{}` has no list of its files any more",
                self.folder.display()
            ))
        });
        let job = |listing| Job {
            from: self.data(),
            to: to.to_owned(),
            account: self.account.clone(),
            links: Links::Refuse,
            left_out: |_| false,
            listing: Some(listing),
        };
        let cloned = match listing {
            Ok(listing) => copy(job(listing), watch).await,
            Err(error) => Err(error),
        };
        cloned.map_err(|error| {
            error.or_help(format!(
                "`lockproof snapshot rm {}` removes it, and the next run restores it anew",
                self.key()
            ))
        })
    }
}

/// The lock of a key, open.
pub(super) fn lock_file(cache: &Path, key: &str) -> Result<File> {
    let path = cache.join("locks").join(format!("{key}.lock"));
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| {
            cannot("open", &path, error)
                .help("choose a cache folder that you may write with `--cache`")
        })
}

/// The base for a request: from the cache, or made now; waits for whoever makes it already.
pub(super) async fn prepare<F: Fill>(
    installation: &Installation,
    account: &Account,
    cache: &Path,
    request: &Request,
    fill: &F,
    watch: &dyn Watch,
) -> Result<Base> {
    let key = key(request, &installation.version);
    let folder = cache.join("bases").join(&key);
    let lock = lock_file(cache, &key)?;
    let mut reused = true;
    let mut turns = 0_u64;
    loop {
        // Shared first: many may use a base at once.
        if try_lock(&lock, false)? {
            if let Some(marker) = read_marker(&folder) {
                shelf::note_use(&lock);
                return Ok(Base {
                    folder,
                    marker,
                    reused,
                    request: request.clone(),
                    installation: installation.clone(),
                    account: account.clone(),
                    in_use: lock,
                });
            }
            lock.unlock()
                .map_err(|error| cannot("unlock", &folder, error))?;
            if try_lock(&lock, true)? {
                if read_marker(&folder).is_none() {
                    remove(&folder)?;
                    build(installation, account, cache, &key, request, fill, watch).await?;
                    reused = false;
                }
                // From exclusive to shared there is a gap: the loop looks again.
                lock.unlock()
                    .map_err(|error| cannot("unlock", &folder, error))?;
                continue;
            }
        }
        // Not at the first: whoever lists the cache holds each lock for an instant.
        turns += 1;
        if turns == 2 {
            watch.note("another run is restoring the same snapshot: waiting for it");
            watch.phase("waiting for the base that another run restores");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn try_lock(file: &File, exclusive: bool) -> Result<bool> {
    let outcome = if exclusive {
        file.try_lock()
    } else {
        file.try_lock_shared()
    };
    match outcome {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(Error::stage("cannot lock a file of the cache")
                .because(error)
                .help("choose a folder on a local disk with `--cache`"))
        }
    }
}
