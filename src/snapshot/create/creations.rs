//! Which snapshots are being made: a file in the cache for each, so that `lockproof clean` finds what a killed `create`
//! left in a folder that may be anywhere.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::folder::sweep;
use crate::stage::Watch;
use crate::stage::whole;
use crate::{Error, Result};

const FOLDER: &str = "creations";

/// A file that says where a snapshot is being made; it goes with this value.
#[derive(Debug)]
pub(super) struct Creation(PathBuf);

impl Creation {
    /// Writes it down before the folder is made.
    pub fn note(cache: &Path, run_id: &str, parent: &Path) -> Result<Self> {
        let path = cache.join(FOLDER).join(run_id);
        let parent = std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned());
        std::fs::create_dir_all(cache.join(FOLDER))
            .and_then(|()| std::fs::write(&path, parent.as_os_str().as_bytes()))
            .map_err(|error| {
                Error::stage(format!("cannot write `{}`", path.display()))
                    .because(error)
                    .help("name a cache folder that you may write to with `--cache`")
            })?;
        Ok(Self(path))
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Removes what killed ones left; which folders.
///
/// # Errors
/// A folder cannot be removed.
pub fn sweep_creations(cache: &Path, watch: &dyn Watch) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    let entries = std::fs::read_dir(cache.join(FOLDER));
    for entry in entries.into_iter().flatten().flatten() {
        let Ok(parent) = whole::bytes(&entry.path(), whole::DESCRIPTION) else {
            continue;
        };
        let parent = PathBuf::from(std::ffi::OsString::from_vec(parent));
        let swept = if parent.is_dir() {
            sweep(&parent, watch)?
        } else {
            Default::default()
        };
        // A live one's file stays.
        if !swept.lives {
            let _ = std::fs::remove_file(entry.path());
        }
        removed.extend(swept.removed);
    }
    Ok(removed)
}
