//! What is left of a clone when its run is over, for the next run: `<base>/spare`.
//!
//! Nothing of it is believed. Whoever takes it compares every file with the list of the base's and writes
//! anew what differs (`copy`), which takes a fraction of the time in which a disk takes a whole copy. It
//! comes and goes by one rename, under the base's lock, so that it is either here or in a run's folder.

use std::path::{Path, PathBuf};

use super::disk;
use super::tree::{Links, Tree};

const NAME: &str = "spare";
/// A smaller clone is copied sooner than this would save.
const LEAST: u64 = 256 * 1024 * 1024;

/// The place of a base's spare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spare {
    base: PathBuf,
    place: PathBuf,
}

impl Spare {
    pub fn of(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            place: base.join(NAME),
        }
    }

    /// Moves it to where the run's data will be; false: there is none, or another run has it.
    pub fn take(&self, data: &Path) -> bool {
        std::fs::rename(&self.place, data).is_ok()
    }

    /// Moves a run's data here, once its server has ended; false: there is one already, or it had
    /// better be removed.
    pub fn keep(&self, data: &Path) -> bool {
        if self.place().is_some() {
            return false;
        }
        // Without what the run added: the kernel need not write it to the disk any more.
        let trimmed = Tree::walk(&self.base.join("data"), Links::Refuse)
            .is_ok_and(|tree| tree.trim(data).is_ok_and(|trimmed| trimmed));
        let bytes = if trimmed { disk::used(data) } else { 0 };
        bytes >= LEAST
            // It must never be what fills a disk.
            && disk::free(data).is_some_and(|free| free / 2 >= bytes)
            // Onto a folder with something in it no folder can be moved.
            && std::fs::rename(data, &self.place).is_ok()
    }

    /// What it takes of the disk.
    pub fn bytes(&self) -> u64 {
        disk::used(&self.place)
    }

    /// Where it is; None: there is none.
    pub fn place(&self) -> Option<&Path> {
        self.place.is_dir().then_some(self.place.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spare_is_kept_of_clones_that_are_worth_it() {
        let base = tempfile::tempdir().expect("a folder");
        let run = tempfile::tempdir().expect("a folder");
        let (first, second) = (run.path().join("1"), run.path().join("2"));
        let spare = Spare::of(base.path());
        assert!(!spare.take(&run.path().join("3")));
        std::fs::create_dir(base.path().join("data")).expect("created");
        std::fs::write(base.path().join("data/1"), "").expect("written");
        for (data, bytes) in [(&first, LEAST), (&second, LEAST)] {
            std::fs::create_dir(data).expect("created");
            // All hole: it takes nothing.
            let file = std::fs::File::create(data.join("1")).expect("created");
            file.set_len(bytes).expect("lengthened");
            std::fs::write(data.join("2"), "made by a migration").expect("written");
        }
        assert!(spare.keep(&first) && !first.exists());
        assert!(!spare.keep(&second) && second.exists());
        assert!(spare.place().is_some() && spare.bytes() == LEAST);
        assert!(spare.take(&first) && first.join("1").is_file() && !first.join("2").exists());
        assert!(spare.place().is_none() && spare.bytes() == 0);

        let small = std::fs::File::options().write(true).open(second.join("1"));
        small.and_then(|file| file.set_len(LEAST - 1)).expect("cut");
        assert!(!spare.keep(&second) && second.exists());
    }
}
