//! Whose a container or volume is, and whether that process still lives: `clean` relies on it.
//!
//! A lock file held by the owner tells it exactly, also after a dropped future and a reused process
//! number. The process number and its start time are the second witness, for a lost cache folder.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::stage::Watch;
use crate::{Error, Result};

pub(super) const ROLE: &str = "lockproof.role";
pub(super) const RUN: &str = "lockproof.run";
pub(super) const BASE: &str = "lockproof.base";
pub(super) const IMAGE: &str = "lockproof.image";
const HOST: &str = "lockproof.owner.host";
const PID: &str = "lockproof.owner.pid";
const STARTED: &str = "lockproof.owner.started";
const LOCK: &str = "lockproof.owner.lock";

/// What a stage that was left up on purpose has in its lock file.
const KEPT: &str = "kept\n";

/// What the lock file of a base has in it while that is made.
const MAKING: &str = "making\n";

/// How often a lock of our own is asked for that others only look at.
const LOOKERS: u32 = 200;

/// How long an engine may go on with a request whose asker is gone.
const SETTLED: Duration = Duration::from_secs(10);

/// What became of the process that made something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Still at work.
    Alive,
    /// Ended without cleaning up.
    Gone,
    /// Left it up on purpose.
    Kept,
    /// On another machine, or in another container: cannot be told from here.
    Elsewhere,
}

/// A lock file, locked as long as this lives; the system unlocks it when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for whoever holds it; a dropped future waits no more, which a blocking lock would.
    pub(super) async fn acquire(path: PathBuf, watch: &dyn Watch) -> Result<Self> {
        let mut told = false;
        loop {
            if let Some(lock) = Self::try_acquire(&path)? {
                return Ok(lock);
            }
            if !told {
                watch.note("another lockproof prepares the same base: waiting for it");
                watch.phase("waiting for the base that another lockproof prepares");
                told = true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// That of a file which nobody else asks for. Those who look whether a lock is held hold it for an instant.
    pub(super) async fn acquire_own(path: &Path) -> Result<Self> {
        for _ in 0..LOOKERS {
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Error::defect(format!(
            "`{}` is locked already",
            path.display()
        )))
    }

    /// None: somebody holds it.
    pub(super) fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let refused = |error: std::io::Error| {
            Error::stage(format!("cannot lock `{}`", path.display()))
                .because(error)
                .help("name a cache folder that you may write to")
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(refused)?;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self {
                file,
                path: path.to_owned(),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }

    /// Says that the engine is asked for things from now on: were this process killed, the last of them may be there
    /// only a moment later.
    pub(super) fn making(&mut self) {
        let _ = self.file.set_len(0);
        let _ = self.file.write_all(MAKING.as_bytes());
    }

    /// Nothing is being asked for any more.
    pub(super) fn made(&mut self) {
        let _ = self.file.set_len(0);
    }

    /// Says that what this lock stands for stays up after the process.
    pub(super) fn keep(mut self) -> std::io::Result<()> {
        self.file.write_all(KEPT.as_bytes())
    }

    /// Removes the file of a lock that nobody will ask for again.
    pub(super) fn discard(self) {
        std::fs::remove_file(&self.path).ok();
    }

    /// The labels that say who owns what is made under this lock.
    pub(super) fn labels(&self, role: &str, run: &str) -> HashMap<String, String> {
        let mut labels = labels(role, run);
        labels.insert(LOCK.to_owned(), self.path.display().to_string());
        labels
    }

    /// Whether this is the lock that these labels name.
    pub(super) fn is_of(&self, labels: &HashMap<String, String>) -> bool {
        lock_path(labels).is_some_and(|path| path == self.path)
    }
}

/// Whether an engine may still be at what a process in this folder of locks asked for before it was killed: its lock
/// is free, says so, and is not old.
pub(super) fn is_settling(locks: &Path) -> bool {
    let is_fresh = |path: &Path| {
        let changed = path.metadata().and_then(|facts| facts.modified()).ok();
        let age = changed.and_then(|at| at.elapsed().ok());
        age.is_none_or(|age| age < SETTLED)
    };
    let says =
        |path: &Path, words: &str| std::fs::read_to_string(path).is_ok_and(|text| text == words);
    let is_left = |path: &PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let run = name.starts_with("lockproof-run-") && says(path, "");
        let base = name.starts_with("base-") && says(path, MAKING);
        (run || base) && is_fresh(path) && matches!(Lock::try_acquire(path), Ok(Some(_)))
    };
    let entries = std::fs::read_dir(locks).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| is_left(&path))
}

/// The labels of what this process makes without a lock, for a moment.
pub(super) fn labels(role: &str, run: &str) -> HashMap<String, String> {
    let pid = std::process::id();
    let mut labels = HashMap::from([
        (ROLE.to_owned(), role.to_owned()),
        (RUN.to_owned(), run.to_owned()),
        (HOST.to_owned(), host_name()),
        (PID.to_owned(), pid.to_string()),
    ]);
    if let Some(started) = started(pid) {
        labels.insert(STARTED.to_owned(), started.to_string());
    }
    labels
}

/// The lock file that these labels name, when it is on this machine.
pub(super) fn lock_path(labels: &HashMap<String, String>) -> Option<PathBuf> {
    is_here(labels).then(|| labels.get(LOCK).map(PathBuf::from))?
}

/// What became of the owner that these labels name.
pub(super) fn owner(labels: &HashMap<String, String>) -> Owner {
    if !is_here(labels) {
        return Owner::Elsewhere;
    }
    if let Some(path) = labels.get(LOCK).map(Path::new)
        && path.exists()
        && let Ok(lock) = Lock::try_acquire(path)
    {
        return match lock {
            None => Owner::Alive,
            Some(_) if std::fs::read_to_string(path).is_ok_and(|text| text == KEPT) => Owner::Kept,
            Some(_) => Owner::Gone,
        };
    }
    let lives = labels
        .get(PID)
        .and_then(|pid| pid.parse().ok())
        .is_some_and(|pid| {
            let recorded = labels.get(STARTED).and_then(|started| started.parse().ok());
            lives(pid, recorded)
        });
    if lives { Owner::Alive } else { Owner::Gone }
}

fn is_here(labels: &HashMap<String, String>) -> bool {
    labels.get(HOST).is_some_and(|host| *host == host_name())
}

/// Where process numbers and lock files mean the same as here. A name alone does not tell: machines
/// made from one image share it, and so do containers on their host's network.
fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let processes = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    // Hashed: the machine's number is nobody else's business.
    let mut hash = Sha256::new();
    hash.update(machine);
    hash.update(processes.as_os_str().as_encoded_bytes());
    let digest: String = hash.finalize()[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{name}/{digest}")
}

fn lives(pid: u32, recorded: Option<u64>) -> bool {
    let Ok(number) = i32::try_from(pid) else {
        return false;
    };
    let there = match nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), None) {
        Ok(()) | Err(nix::errno::Errno::EPERM) => true,
        Err(_) => false,
    };
    // Another start time is another process; without /proc the number alone has to do.
    there && (recorded.is_none() || started(pid).is_none() || started(pid) == recorded)
}

/// When the process started, in clock ticks since boot.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::watch::Unwatched;

    #[test]
    fn a_process_is_told_by_number_and_start() {
        let me = std::process::id();
        assert!(lives(me, started(me)));
        assert!(lives(me, None));
        if let Some(started) = started(me) {
            assert!(!lives(me, Some(started + 1)));
        }
        assert!(!lives(u32::MAX, None));
    }

    #[tokio::test]
    async fn the_lock_tells_what_became_of_the_owner() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|error| Error::defect("").because(error))?;
        let path = folder.path().join("locks/run-1.lock");
        let lock = Lock::acquire(path.clone(), &Unwatched).await?;
        let labels = lock.labels("run", "1");
        assert_eq!(owner(&labels), Owner::Alive);
        assert!(Lock::try_acquire(&path)?.is_none());
        // A dropped future: the process lives, the owner does not.
        drop(lock);
        assert_eq!(owner(&labels), Owner::Gone);
        if let Some(lock) = Lock::try_acquire(&path)? {
            lock.keep().ok();
        }
        assert_eq!(owner(&labels), Owner::Kept);
        // The cache was deleted: the process is the witness.
        std::fs::remove_file(&path).ok();
        assert_eq!(owner(&labels), Owner::Alive);
        let mut foreign = labels;
        foreign.insert(HOST.to_owned(), "elsewhere".to_owned());
        assert_eq!(owner(&foreign), Owner::Elsewhere);
        Ok(())
    }
}
