//! Removes what a killed run left: servers without an owner, their folders, half-made bases.
//!
//! A live run, in this or another container, is left alone; so is everything that is not ours.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::base::lock_file;
use super::build::building_key;
use super::folder::{Left, remove, sweeping};
use super::marker::is_whole;
use super::process::{end_orphans, free_shared_memory, postmaster_on, real};
use super::spare::Spare;
use super::tablespaces;
use crate::Result;
use crate::stage::Watch;

/// What happens to servers that were left running on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// They run on.
    Spare,
    /// They are ended and removed as well.
    End,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Folders that were removed.
    pub removed: Vec<PathBuf>,
    /// Servers that were ended.
    pub ended: usize,
    /// Folders of live runs, and of kept servers that were spared.
    pub left: Vec<PathBuf>,
}

/// Sweeps a cache; one that does not exist is clean.
pub async fn sweep(cache: &Path, kept: Kept, watch: &dyn Watch) -> Result<Swept> {
    let mut swept = Swept::default();
    if !cache.join("locks").is_dir() {
        return Ok(swept);
    }
    let cache = real(cache);
    for path in folders(&cache.join("runs"), |_| true) {
        let left = {
            let _sweeping = sweeping(&cache)?;
            Left::look(&path)
        };
        let server = postmaster_on(&left.path.join("data"));
        let spared = kept == Kept::Spare
            && server.is_some()
            && left.owner.as_ref().is_some_and(|owner| owner.kept);
        if left.owned || spared {
            swept.left.push(path);
            continue;
        }
        watch.note(&format!("removing `{}`", path.display()));
        swept.ended += usize::from(end(&left).await?);
        swept.removed.push(path);
    }
    let built = building(&cache.join("bases"), None).await?;
    swept.ended += built.ended;
    swept.removed.extend(built.removed);
    swept.left.extend(built.left);
    // A base whose removal was broken off has lost its marker.
    for path in folders(&cache.join("bases"), |name| !name.starts_with('.')) {
        let key = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = lock_file(&cache, &key)?;
        if lock.try_lock().is_err() {
            continue;
        }
        if !is_whole(&path) {
            remove(&path)?;
            swept.removed.push(path);
        } else if let Some(spare) = Spare::of(&path).place() {
            // The next run copies its data instead.
            remove(spare)?;
            swept.removed.push(spare.to_owned());
        }
    }
    Ok(swept)
}

/// Sweeps half-made bases: those of one key, whose lock the caller holds, or those of every key
/// that nobody is building.
pub(super) async fn building(bases: &Path, only: Option<&str>) -> Result<Swept> {
    let mut swept = Swept::default();
    let Some(cache) = bases.parent() else {
        return Ok(swept);
    };
    for path in folders(bases, |name| building_key(name).is_some()) {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let key = building_key(&name).unwrap_or_default();
        let lock = match only {
            Some(only) if only == key => None,
            Some(_) => continue,
            None => {
                let lock = lock_file(cache, key)?;
                if lock.try_lock().is_err() {
                    swept.left.push(path);
                    continue;
                }
                Some(lock)
            }
        };
        swept.ended += usize::from(end(&Left::look(&path)).await?);
        swept.removed.push(path);
        drop(lock);
    }
    Ok(swept)
}

/// Ends the server of a folder that nobody owns, and removes it; true: there was a server.
async fn end(left: &Left) -> Result<bool> {
    let data = left.path.join("data");
    let server = postmaster_on(&data);
    if let Some(server) = &server {
        for (signal, seconds) in [
            (Signal::SIGINT, 10),
            (Signal::SIGQUIT, 5),
            (Signal::SIGKILL, 5),
        ] {
            server.signal(signal);
            if server.ended_within(Duration::from_secs(seconds)).await {
                break;
            }
        }
    }
    end_orphans(&data);
    free_shared_memory(&data).await;
    if let Some(owner) = &left.owner
        && is_socket_folder(&owner.sockets)
    {
        remove(&owner.sockets)?;
    }
    tablespaces::remove(&data);
    remove(&left.path)?;
    Ok(server.is_some())
}

/// What a file says is to be removed must look like ours: our name, nothing but sockets in it.
fn is_socket_folder(path: &Path) -> bool {
    let ours = path.is_absolute()
        && path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("lockproof-"));
    ours && std::fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir())
        && std::fs::read_dir(path).is_ok_and(|mut entries| {
            entries.all(|entry| {
                entry
                    .is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(".s.PGSQL."))
            })
        })
}

fn folders(parent: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_dir())
                && wanted(&entry.file_name().to_string_lossy())
        })
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_socket_folder_of_ours_is_removed() {
        let parent = tempfile::tempdir().expect("a folder");
        let ours = parent.path().join("lockproof-0badcafe");
        std::fs::create_dir(&ours).expect("created");
        assert!(is_socket_folder(&ours));
        std::fs::write(ours.join(".s.PGSQL.5432.lock"), "").expect("written");
        assert!(is_socket_folder(&ours));
        std::fs::write(ours.join("thesis.tex"), "").expect("written");
        assert!(!is_socket_folder(&ours));
        assert!(!is_socket_folder(parent.path()));
        assert!(!is_socket_folder(Path::new("lockproof-relative")));
    }
}
