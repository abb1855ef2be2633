//! A folder for the sockets of a connection, with a lock that is held while its process lives.
//!
//! A process that is killed leaves its folder; the lock is free then, and `lockproof clean` removes it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Short: a socket's path has some 100 bytes, and ssh makes a longer one of it.
const PREFIX: &str = "lockproof-way-";
const LOCK: &str = "lock";

/// Goes with this value.
#[derive(Debug)]
pub(super) struct Folder {
    at: tempfile::TempDir,
    _lock: File,
}

impl Folder {
    pub(super) fn make() -> std::io::Result<Self> {
        let at = tempfile::Builder::new()
            .prefix(PREFIX)
            // Whatever the umask: the sockets inside ask for no password.
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()?;
        // Whoever sweeps sees no lock, or one that is held.
        let begun = at.path().join("lock.new");
        let lock = File::create_new(&begun)?;
        lock.lock()?;
        std::fs::rename(begun, at.path().join(LOCK))?;
        Ok(Self { at, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.at.path()
    }
}

/// Removes those of this account whose processes are gone; which.
pub(super) fn sweep(parent: &Path) -> Result<Vec<PathBuf>> {
    let account = nix::unistd::Uid::effective().as_raw();
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(parent) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        // No folder for what is temporary, or none that may be read: none of ours is in it.
        Err(_) => return Ok(Vec::new()),
    };
    paths.retain(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
            && std::fs::symlink_metadata(path)
                .is_ok_and(|facts| facts.is_dir() && facts.uid() == account)
    });
    paths.sort();
    let mut removed = Vec::new();
    for path in paths {
        let Ok(lock) = File::open(path.join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_err() {
            continue;
        }
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::stage(format!("cannot remove `{}`", path.display()))
                    .because(error)
                    .help("remove it by hand: the process that made it is gone"));
            }
            _ => removed.push(path),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_swept_is_ours_and_nobody_s_any_more() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = |name: &str, files: &[&str]| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).expect("made");
            for file in files {
                std::fs::write(path.join(file), "").expect("written");
            }
            path
        };
        let gone = folder("lockproof-way-gone", &[LOCK, "log", "engine"]);
        folder("lockproof-way-begun", &["lock.new"]);
        folder("lockproof-other", &[LOCK]);
        folder("ssh-agent", &[LOCK]);
        let held = File::open(folder("lockproof-way-held", &[LOCK]).join(LOCK)).expect("opened");
        held.lock().expect("locked");
        std::os::unix::fs::symlink(&gone, parent.path().join("lockproof-way-link"))
            .expect("linked");
        assert_eq!(sweep(parent.path()).expect("swept"), [gone]);
        assert_eq!(std::fs::read_dir(parent.path()).expect("read").count(), 5);
        drop(held);
        assert_eq!(sweep(parent.path()).expect("swept").len(), 1);
        assert!(
            sweep(&parent.path().join("absent"))
                .expect("none")
                .is_empty()
        );
    }

    #[test]
    fn a_folder_is_held_until_it_goes() {
        let folder = Folder::make().expect("made");
        let (path, lock) = (folder.path().to_owned(), folder.path().join(LOCK));
        assert!(File::open(&lock).expect("there").try_lock().is_err());
        drop(folder);
        assert!(!path.exists());
    }
}
