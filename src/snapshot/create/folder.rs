//! The folder that a snapshot is made in: beside its place, renamed when it is whole.
//!
//! `.lockproof-creating-NAME-RUN`, with a file that stays locked for as long as its maker lives. What a
//! killed one left is known by the name and the free lock, and goes with the next `create` beside it.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cannot_write;
use super::creations::Creation;
use super::describe::FIRST_LINE;
use crate::snapshot::manifest::FILE_NAME;
use crate::stage::Watch;
use crate::stage::whole;
use crate::{Error, Result};

const CREATING: &str = ".lockproof-creating-";
const REPLACED: &str = ".lockproof-replaced-";
const OWNER: &str = ".owner.lock";

/// Whether what is there may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// It stays, and nothing is made.
    Keep,
    /// It goes once the new one is whole.
    Replace,
}

/// A snapshot's folder in the making.
#[derive(Debug)]
pub(super) struct Building {
    target: PathBuf,
    path: PathBuf,
    present: Present,
    _owner: File,
    _noted: Creation,
}

impl Building {
    /// Begins one; removes what killed ones left beside it.
    pub fn begin(
        target: &Path,
        present: Present,
        run_id: &str,
        cache: &Path,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let parent = target.parent().unwrap_or(Path::new("/"));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        std::fs::create_dir_all(parent).map_err(|error| cannot_write(parent, error))?;
        sweep(parent, watch)?;
        refuse_present(target, present)?;
        let noted = Creation::note(cache, run_id, parent)?;
        let path = parent.join(format!("{CREATING}{name}-{run_id}"));
        // Production's rows are in it: nobody else's to read, as pg_dump has it.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| cannot_write(&path, error))?;
        let lock = path.join(OWNER);
        let owner = File::create_new(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| {
                let _ = std::fs::remove_dir_all(&path);
                cannot_write(&lock, error)
            })?;
        Ok(Self {
            target: target.to_owned(),
            path,
            present,
            _owner: owner,
            _noted: noted,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place.
    pub fn publish(self) -> Result<()> {
        let unwritten = |error| cannot_write(&self.target, error);
        refuse_present(&self.target, self.present)?;
        std::fs::remove_file(self.path.join(OWNER)).map_err(unwritten)?;
        sync(&self.path).map_err(unwritten)?;
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        let name = self
            .target
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let replaced = parent.join(format!("{REPLACED}{name}"));
        let replaces = self.target.exists();
        if replaces {
            std::fs::rename(&self.target, &replaced).map_err(unwritten)?;
        }
        if let Err(error) = std::fs::rename(&self.path, &self.target) {
            if replaces {
                let _ = std::fs::rename(&replaced, &self.target);
            }
            return Err(unwritten(error));
        }
        sync(parent).map_err(unwritten)?;
        if replaces {
            std::fs::remove_dir_all(&replaced).map_err(|error| cannot_write(&replaced, error))?;
        }
        Ok(())
    }

    /// Removes it; a program that was told to end may write for a moment longer.
    pub async fn discard(self, watch: &dyn Watch) {
        for _ in 0..50 {
            match std::fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {}
                _ => return,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        watch.note(&format!("`{}` could not be removed", self.path.display()));
    }
}

/// What is there is refused unless it may go, and what nobody made by `create` in any case.
fn refuse_present(target: &Path, present: Present) -> Result<()> {
    if !target.exists() {
        return Ok(());
    }
    let shown = target.display();
    let ours = whole::text(&target.join(FILE_NAME), whole::DESCRIPTION)
        .is_ok_and(|text| text.starts_with(FIRST_LINE));
    match present {
        Present::Keep => Err(Error::usage(format!("`{shown}` is there already"))
            .help("name another folder with `--to`, or replace it with `--force`")),
        Present::Replace if !ours => Err(Error::usage(format!(
            "`{shown}` was not made by `lockproof snapshot create`, and is not replaced"
        ))
        .help("remove it by hand, or name another folder with `--to`")),
        Present::Replace => Ok(()),
    }
}

/// What a sweep of a folder found.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// What killed ones had begun.
    pub removed: Vec<PathBuf>,
    /// One is being made there now.
    pub lives: bool,
}

/// Removes what killed ones left, and puts back what one was about to replace.
pub(super) fn sweep(parent: &Path, watch: &dyn Watch) -> Result<Swept> {
    let mut swept = Swept::default();
    let entries = std::fs::read_dir(parent).map_err(|error| cannot_write(parent, error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(name) = name.strip_prefix(REPLACED) {
            let target = parent.join(name);
            if target.exists() {
                std::fs::remove_dir_all(&path).map_err(|error| cannot_write(&path, error))?;
            } else {
                std::fs::rename(&path, &target).map_err(|error| cannot_write(&target, error))?;
                watch.note(&format!(
                    "put `{}` back: an earlier `snapshot create` was killed while it replaced it",
                    target.display()
                ));
            }
        }
        if !name.starts_with(CREATING) {
            continue;
        }
        if is_left(&path) {
            std::fs::remove_dir_all(&path).map_err(|error| cannot_write(&path, error))?;
            watch.note(&format!(
                "removed `{}`, which an earlier `snapshot create` left when it was killed",
                path.display()
            ));
            swept.removed.push(path);
        } else {
            swept.lives = true;
        }
    }
    Ok(swept)
}

/// True when its maker is gone. One without a lock file is a moment old, or about to be renamed.
fn is_left(path: &Path) -> bool {
    match File::open(path.join(OWNER)) {
        Ok(file) => file.try_lock().is_ok(),
        Err(_) => std::fs::metadata(path)
            .and_then(|facts| facts.modified())
            .ok()
            .and_then(|made| made.elapsed().ok())
            .is_some_and(|age| age > Duration::from_secs(60)),
    }
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::watch::Unwatched;

    fn begin(target: &Path, present: Present) -> Result<Building> {
        let cache = tempfile::tempdir().expect("a folder");
        Building::begin(target, present, "r1", cache.path(), &Unwatched)
    }

    #[test]
    fn what_is_whole_takes_its_place_and_what_is_there_stays() {
        let root = tempfile::tempdir().expect("a folder");
        let target = root.path().join("shop");
        let building = begin(&target, Present::Keep).expect("begun");
        std::fs::write(building.path().join(FILE_NAME), FIRST_LINE).expect("written");
        assert!(!target.exists());
        building.publish().expect("published");
        assert!(target.join(FILE_NAME).is_file() && !target.join(OWNER).exists());
        let story = begin(&target, Present::Keep).expect_err("there").story();
        assert!(
            story.contains("there already") && story.contains("--force"),
            "{story}"
        );

        let building = begin(&target, Present::Replace).expect("begun");
        std::fs::write(building.path().join("new"), "").expect("written");
        building.publish().expect("published");
        assert!(target.join("new").is_file() && !target.join(FILE_NAME).exists());
        // No word of it there: somebody else's.
        let story = begin(&target, Present::Replace)
            .expect_err("theirs")
            .story();
        assert!(story.contains("not made by"), "{story}");
        assert_eq!(root.path().read_dir().expect("read").count(), 1);
    }

    #[test]
    fn what_a_killed_one_left_goes_and_a_live_one_stays() {
        let root = tempfile::tempdir().expect("a folder");
        let live = begin(&root.path().join("live"), Present::Keep).expect("begun");
        let left = root.path().join(format!("{CREATING}x-r0"));
        std::fs::create_dir(&left).expect("made");
        std::fs::write(left.join(OWNER), "").expect("written");
        let old = root.path().join(format!("{REPLACED}old"));
        std::fs::create_dir(&old).expect("made");
        sweep(root.path(), &Unwatched).expect("swept");
        assert!(live.path().exists() && !left.exists() && !old.exists());
        assert!(root.path().join("old").is_dir());
    }
}
