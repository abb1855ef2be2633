//! The files below a folder, and work on many of them at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::folder::{cannot, remove};
pub(super) use crate::stage::blocking::Stop;
use crate::{Error, Result};

/// More threads than this only wait for the same disk.
const MOST_THREADS: usize = 8;

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// There is none in a folder of ours: one would lead a server out of its own copy.
    Refuse,
    /// What they point at is taken in their place: a server's WAL and tablespaces may lie elsewhere.
    Follow,
}

/// A file below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// From the folder.
    pub path: PathBuf,
    pub bytes: u64,
}

/// Something to be done that takes as long as it has bytes.
pub(super) trait Load {
    fn bytes(&self) -> u64;
}

impl Load for Member {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The folders and files below a folder, each by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Each before what is in it.
    pub folders: Vec<PathBuf>,
    pub files: Vec<Member>,
}

impl Tree {
    pub fn walk(root: &Path, links: Links) -> Result<Self> {
        Self::walk_but(root, links, |_| false)
    }

    /// Without what `left_out` says yes to, and all below it.
    pub fn walk_but(root: &Path, links: Links, left_out: impl Fn(&Path) -> bool) -> Result<Self> {
        let mut tree = Self::default();
        let mut open = vec![PathBuf::new()];
        while let Some(folder) = open.pop() {
            let at = root.join(&folder);
            let entries = std::fs::read_dir(&at).map_err(|error| cannot("read", &at, error))?;
            for entry in entries {
                let entry = entry.map_err(|error| cannot("read", &at, error))?;
                let path = folder.join(entry.file_name());
                if left_out(&path) {
                    continue;
                }
                let at = root.join(&path);
                let facts = match links {
                    Links::Refuse => std::fs::symlink_metadata(&at),
                    Links::Follow => std::fs::metadata(&at),
                }
                .map_err(|error| cannot("read", &at, error))?;
                if facts.is_dir() {
                    open.push(path);
                } else if facts.is_file() {
                    tree.files.push(Member {
                        path,
                        bytes: facts.len(),
                    });
                } else if facts.is_symlink() {
                    return Err(Error::stage(format!("`{}` is a link", at.display())));
                }
            }
            if !folder.as_os_str().is_empty() {
                tree.folders.push(folder);
            }
        }
        tree.folders.sort();
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// Removes from another folder what this one has not; false: it has a link, and is left as it is.
    pub fn trim(&self, other: &Path) -> Result<bool> {
        // A tablespace that a migration made: who knows what is behind it.
        let Ok(there) = Self::walk(other, Links::Refuse) else {
            return Ok(false);
        };
        let files: BTreeSet<&Path> = self.files.iter().map(|file| file.path.as_ref()).collect();
        let folders: BTreeSet<&Path> = self.folders.iter().map(AsRef::as_ref).collect();
        for file in there.files {
            if !files.contains(file.path.as_path()) {
                let path = other.join(file.path);
                std::fs::remove_file(&path).map_err(|error| cannot("remove", &path, error))?;
            }
        }
        for folder in there.folders {
            if !folders.contains(folder.as_path()) {
                remove(&other.join(folder))?;
            }
        }
        Ok(true)
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Does the same with every item, the largest first, so that none is left alone at the end; the
/// results in the order of the items, or the first error.
pub(super) fn in_parallel<I: Load + Sync, T: Send>(
    items: &[I],
    stop: &Stop,
    work: impl Fn(&I, &Stop) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(items[*index].bytes()));
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new((Vec::with_capacity(items.len()), None));
    let turn = || {
        while !stop.is_asked() {
            let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            let result = work(&items[*index], stop);
            let Ok(mut outcome) = outcome.lock() else {
                return;
            };
            match result {
                Ok(result) => outcome.0.push((*index, result)),
                Err(error) => {
                    outcome.1.get_or_insert(error);
                    stop.ask();
                }
            }
        }
    };
    // Twice the processors: half of them may wait for the disk.
    let threads = std::thread::available_parallelism()
        .map_or(2, |cores| cores.get() * 2)
        .min(MOST_THREADS);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(turn);
        }
    });
    let (mut results, error) = outcome
        .into_inner()
        .map_err(|_| Error::defect("a thread that works on files panicked"))?;
    if let Some(error) = error {
        return Err(error);
    }
    if results.len() < items.len() {
        return Err(Error::stage("the work on the files was given up"));
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_files_and_the_first_error_ends_it() {
        let files: Vec<Member> = (0..100)
            .map(|bytes| Member {
                path: bytes.to_string().into(),
                bytes,
            })
            .collect();
        let doubled = in_parallel(&files, &Stop::default(), |file, _| Ok(file.bytes * 2));
        assert_eq!(
            doubled.expect("all"),
            (0..100).map(|n| n * 2).collect::<Vec<u64>>()
        );
        let failed = in_parallel(&files, &Stop::default(), |file, _| {
            if file.bytes == 99 {
                Err(Error::stage("that one"))
            } else {
                Ok(())
            }
        });
        assert_eq!(
            failed.expect_err("the last, which comes first").to_string(),
            "that one"
        );
    }

    #[test]
    fn a_link_is_refused_or_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let elsewhere = tempfile::tempdir().expect("a folder");
        std::fs::write(elsewhere.path().join("000000010000000000000001"), "wal").expect("written");
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("pg_wal")).expect("linked");
        let refused = Tree::walk(folder.path(), Links::Refuse).expect_err("a link");
        assert!(refused.to_string().contains("pg_wal` is a link"));
        let tree = Tree::walk(folder.path(), Links::Follow).expect("followed");
        assert_eq!(tree.folders, [PathBuf::from("pg_wal")]);
        assert_eq!(tree.bytes(), 3);
    }
}
