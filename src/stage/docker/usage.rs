//! Holds a base that a run uses, so that nobody prunes it between two of its replays, when no container of
//! the run has it mounted.
//!
//! A file beside the lock of whoever made the base, shared by all users. On another machine, or in
//! another container, that file is not reached: there only containers tell.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::PathBuf;

use super::owner;

/// What a remover gets.
#[derive(Debug)]
pub(super) enum Claim {
    /// Nobody uses it, and nobody can begin to until this is dropped.
    Free(#[cfg_attr(not(test), expect(dead_code, reason = "held, not read"))] Option<File>),
    /// Somebody does.
    Taken,
}

/// Says that this process uses the base with these labels, for as long as the file is open.
pub(super) fn take(labels: &HashMap<String, String>) -> Option<File> {
    let file = open(labels)?;
    file.try_lock_shared().ok()?;
    Some(file)
}

/// Whether the base with these labels can be removed.
pub(super) fn claim(labels: &HashMap<String, String>) -> Claim {
    let file = open(labels);
    match &file {
        Some(open) if matches!(open.try_lock(), Err(TryLockError::WouldBlock)) => Claim::Taken,
        _ => Claim::Free(file),
    }
}

/// Somebody else's file may be only for reading, which is enough to lock it.
fn open(labels: &HashMap<String, String>) -> Option<File> {
    let path: PathBuf = owner::lock_path(labels)?.with_extension("use");
    File::options()
        .create(true)
        .append(true)
        .open(&path)
        .or_else(|_| File::open(&path))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::docker::owner::Lock;

    #[test]
    fn many_use_what_nobody_may_remove_then() -> crate::Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("locks/base-1.lock");
        let labels = Lock::try_acquire(&path)?.expect("free").labels("base", "1");
        let one = take(&labels);
        let two = take(&labels);
        assert!(one.is_some() && two.is_some());
        drop(one);
        assert!(matches!(claim(&labels), Claim::Taken));
        drop(two);
        let claimed = claim(&labels);
        assert!(matches!(claimed, Claim::Free(Some(_))));
        assert!(take(&labels).is_none());
        // Elsewhere nothing can be told.
        assert!(matches!(claim(&HashMap::new()), Claim::Free(None)));
        Ok(())
    }
}
