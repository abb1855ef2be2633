//! A folder that one process works in: a run's, or that of a base being built.
//!
//! Its file `owner.json` says whose it is and stays locked for as long as that process lives, so
//! that `sweep` can tell a dead run from a live one, in another container too.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::{Process, real};
use super::tablespaces;
use super::user::Account;
use crate::{Error, Result};

const OWNER: &str = "owner.json";
/// The longest folder that the name of a socket fits behind: `sun_path` has 104 bytes on macOS (108
/// on Linux) with its zero, and the name is `.s.PGSQL.65535`.
const LONGEST_SOCKET_FOLDER: usize = 103 - "/.s.PGSQL.65535".len();

/// What `owner.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    /// Who made the folder.
    pub process: Option<Process>,
    /// The server that runs on `data`, once it does.
    pub server: Option<Process>,
    /// The folder of its socket, outside the cache.
    pub sockets: PathBuf,
    /// True when the server was left running on purpose.
    pub kept: bool,
}

/// A folder of ours; dropping it removes it and the socket folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    file: File,
    owner: Owner,
    armed: bool,
}

impl Folder {
    /// Makes `path` and a socket folder, both only for the account; None: `path` exists.
    ///
    /// `cache` has a lock that keeps `sweep` from looking at a folder without its owner.
    pub async fn create(cache: &Path, path: &Path, account: &Account) -> Result<Option<Self>> {
        let _making = making(cache)?;
        let sockets = socket_folder(account).await?;
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(cannot("create", path, error)),
            Ok(()) => {}
        }
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(path.join(OWNER))
            .map_err(|error| {
                let _ = remove(path);
                cannot("write", &path.join(OWNER), error)
            })?;
        let mut folder = Self {
            path: path.to_owned(),
            file,
            owner: Owner {
                process: Process::of(std::process::id().cast_signed()),
                server: None,
                sockets: sockets.clone(),
                kept: false,
            },
            armed: true,
        };
        folder
            .file
            .lock()
            .map_err(|error| cannot("lock", &path.join(OWNER), error))?;
        folder.write()?;
        account.own(path)?;
        // After it was written down, so that no crash leaves one that nobody knows of.
        DirBuilder::new()
            .mode(0o700)
            .create(&sockets)
            .map_err(|error| cannot("create", &sockets, error))?;
        account.own(&sockets)?;
        Ok(Some(folder))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    pub fn sockets(&self) -> &Path {
        &self.owner.sockets
    }

    /// Notes which server runs on it.
    pub fn served_by(&mut self, pid: u32) -> Result<()> {
        self.owner.server = Process::of(pid.cast_signed());
        self.write()
    }

    /// Leaves it behind, with its server running.
    pub fn keep(mut self) {
        self.owner.kept = true;
        let _ = self.write();
        self.armed = false;
    }

    /// Removes it and says so when that fails.
    pub fn remove(mut self) -> Result<()> {
        self.armed = false;
        tablespaces::remove(&self.data());
        let sockets = remove(&self.owner.sockets);
        remove(&self.path).and(sockets)
    }

    fn write(&mut self) -> Result<()> {
        let mut text = serde_json::to_vec(&self.owner).map_err(|error| {
            Error::defect("the owner of a folder cannot be written as JSON").because(error)
        })?;
        // In one go, over what is there: whoever is killed before or after it leaves a file that can be read.
        let before = self.file.metadata().map_or(0, |facts| facts.len());
        text.resize(text.len().max(before as usize), b' ');
        self.file
            .rewind()
            .and_then(|()| self.file.write_all(&text))
            .map_err(|error| cannot("write", &self.path.join(OWNER), error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.armed {
            tablespaces::remove(&self.data());
            let _ = remove(&self.owner.sockets);
            let _ = remove(&self.path);
        }
    }
}

/// What is known of a folder that somebody else made.
#[derive(Debug)]
pub(super) struct Left {
    pub path: PathBuf,
    pub owner: Option<Owner>,
    /// True while the process that made it lives.
    pub owned: bool,
}

impl Left {
    /// Reads a folder's owner; call it under `sweeping`.
    pub fn look(path: &Path) -> Self {
        let mut left = Self {
            path: real(path),
            owner: None,
            owned: false,
        };
        let Ok(mut file) = File::options()
            .read(true)
            .write(true)
            .open(path.join(OWNER))
        else {
            return left;
        };
        let mut text = String::new();
        let _ = file.read_to_string(&mut text);
        left.owner = serde_json::from_str(&text).ok();
        // The lock is what counts; the process is for file systems that know no locks.
        left.owned = matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
            || left.owner.as_ref().is_some_and(|owner| {
                !owner.kept && owner.process.as_ref().is_some_and(Process::is_alive)
            });
        left
    }
}

/// Held by a maker of a folder until its owner is written.
fn making(cache: &Path) -> Result<File> {
    let file = folders_lock(cache)?;
    file.lock_shared()
        .map_err(|error| cannot("lock", &cache.join("locks"), error))?;
    Ok(file)
}

/// Held by whoever looks for folders without an owner.
pub(super) fn sweeping(cache: &Path) -> Result<File> {
    let file = folders_lock(cache)?;
    file.lock()
        .map_err(|error| cannot("lock", &cache.join("locks"), error))?;
    Ok(file)
}

fn folders_lock(cache: &Path) -> Result<File> {
    let path = cache.join("locks").join("folders.lock");
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| cannot("open", &path, error))
}

/// Removes a folder; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(cannot("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// A free name for a socket folder, short enough and reachable by the account.
async fn socket_folder(account: &Account) -> Result<PathBuf> {
    let name = format!("lockproof-{:08x}", rand::random::<u32>());
    let mut tried = Vec::new();
    for parent in [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
        let folder = parent.join(&name);
        if folder.as_os_str().len() <= LONGEST_SOCKET_FOLDER
            && parent.is_absolute()
            && account.can_enter(&parent).await
        {
            return Ok(folder);
        }
        tried.push(parent.display().to_string());
    }
    Err(Error::stage(format!(
        "no folder for the server's socket: of `{}` none is short enough and open to the account `{}`",
        tried.join("`, `"),
        account.name()
    ))
    .help("set `TMPDIR` to a short path that every account can enter"))
}

/// "cannot remove `/x`", with the cause.
pub(super) fn cannot(verb: &str, path: &Path, error: impl Into<std::io::Error>) -> Error {
    Error::stage(format!("cannot {verb} `{}`", path.display())).because(error.into())
}
