//! Reads files for their digests: several at once, with progress, and no longer than somebody waits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::digest::hex;
use super::memo::{Memo, Traits};
use crate::stage::physical::unreadable;
use crate::{Error, Result};

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub length: u64,
    /// SHA-256, in hex.
    pub digest: String,
}

/// How far a reading is, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Bytes that were read.
    pub done: AtomicU64,
    /// Bytes that have to be read; 0 until that is known.
    pub total: AtomicU64,
    /// True: nobody waits for it any more.
    pub given_up: AtomicBool,
}

impl Reading {
    /// The contents of files, from the memo where it knows them.
    pub(super) fn contents(
        &self,
        files: &[PathBuf],
        memo: &mut Memo,
    ) -> Result<BTreeMap<PathBuf, Content>> {
        let mut contents = BTreeMap::new();
        let mut unknown = Vec::new();
        for path in files {
            let facts = path.metadata().map_err(|error| unreadable(path, error))?;
            match memo.digest(path, &Traits::of(&facts)) {
                Some(digest) => {
                    let length = facts.len();
                    contents.insert(path.clone(), Content { length, digest });
                }
                None => unknown.push((path, facts.len())),
            }
        }
        let total = unknown.iter().map(|(_, length)| length).sum();
        self.total.store(total, Ordering::Relaxed);
        for (path, (content, traits)) in self.read_all(&unknown)? {
            if let Some(traits) = traits {
                memo.remember(&path, traits, &content.digest);
            }
            contents.insert(path, content);
        }
        Ok(contents)
    }

    /// One thread a processor, each taking the next file.
    fn read_all(
        &self,
        files: &[(&PathBuf, u64)],
    ) -> Result<BTreeMap<PathBuf, (Content, Option<Traits>)>> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        let read = Mutex::new(Ok(BTreeMap::new()));
        std::thread::scope(|scope| {
            for _ in 0..processors.min(files.len()) {
                scope.spawn(|| {
                    while let Some((path, _)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let one = self.read(path);
                        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                        match (&mut *read, one) {
                            (Ok(contents), Ok(one)) => drop(contents.insert((*path).clone(), one)),
                            (Ok(_), Err(error)) => *read = Err(error),
                            // One reason to stop is enough.
                            (Err(_), _) => {}
                        }
                        if read.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        read.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a file holds; its traits, unless it changed while it was read.
    fn read(&self, path: &Path) -> Result<(Content, Option<Traits>)> {
        let failed = |error| unreadable(path, error);
        let mut file = File::open(path).map_err(failed)?;
        let facts = file.metadata().map_err(failed)?;
        if !facts.is_file() {
            // A device may have no end, and a pipe can be read once.
            return Err(failed(std::io::Error::other("it is no file")));
        }
        let before = Traits::of(&facts);
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut length = 0;
        loop {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(Error::stage("reading the snapshot was given up"));
            }
            let read = match file.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            length += read as u64;
            self.done.fetch_add(read as u64, Ordering::Relaxed);
        }
        let after = Traits::of(&file.metadata().map_err(failed)?);
        let digest = hex(&hash.finalize());
        Ok((
            Content { length, digest },
            (before == after).then_some(before),
        ))
    }
}
