//! Copies data folders: sharing their blocks where the file system can, else by several threads.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::folder::{cannot, remove};
use super::listing::{Entry, Listing, Times, checksum};
use super::parts::{Done, Part, Way};
use super::tree::{Links, Member, Stop, Tree, in_parallel};
use super::user::Account;
pub(super) use crate::stage::blocking::on_threads;
use crate::stage::{CloneMethod, Watch};
use crate::{Error, Result};

/// A copy to be made.
#[derive(Debug)]
pub(super) struct Job {
    pub from: std::path::PathBuf,
    /// Does not exist yet, or is an earlier clone, which becomes a fresh one.
    pub to: std::path::PathBuf,
    /// Whose the copy is.
    pub account: Account,
    pub links: Links,
    /// What is left out, with all below it.
    pub left_out: fn(&Path) -> bool,
    /// What the files have to be; None: nobody knows.
    pub listing: Option<Listing>,
}

/// A copy that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    pub method: CloneMethod,
    /// What an earlier clone had already.
    pub kept: u64,
}

/// Makes the copy. Dropping the future ends the work before it returns.
pub(super) async fn copy(job: Job, watch: &dyn Watch) -> Result<Made> {
    let stop = Arc::new(Stop::default());
    let tree = Tree::walk_but(&job.from, job.links, job.left_out)?;
    let total = tree.bytes();
    on_threads(stop, watch, total, move |stop| job.run(&tree, stop)).await
}

impl Job {
    fn run(&self, tree: &Tree, stop: &Stop) -> Result<Made> {
        if let Some(missing) = self
            .listing
            .as_ref()
            .and_then(|listing| listing.missing_in(tree))
        {
            return Err(self.changed(missing, "is gone"));
        }
        let renewing = self.to.is_dir() && tree.trim(&self.to)?;
        if !renewing {
            remove(&self.to)?;
        }
        for folder in std::iter::once(Path::new("")).chain(tree.folders.iter().map(|f| f.as_path()))
        {
            if !(renewing && self.to.join(folder).is_dir()) {
                self.folder(folder)?;
            }
        }
        let method = if renewing {
            CloneMethod::Copy
        } else {
            self.method(tree)
        };
        let kept = match method {
            CloneMethod::Reflink => {
                in_parallel(&tree.files, stop, |file, _| self.share(file, stop))?;
                0
            }
            // `method` never says that a program does it.
            CloneMethod::Copy | CloneMethod::Hook => self.write(tree, stop)?,
        };
        Ok(Made { method, kept })
    }

    fn folder(&self, path: &Path) -> Result<()> {
        let to = self.to.join(path);
        DirBuilder::new()
            .mode(0o700)
            .create(&to)
            .map_err(|error| cannot("create", &to, error))?;
        self.account.own(&to)
    }

    /// Whether the two folders can share blocks, tried with the first file that has any.
    fn method(&self, tree: &Tree) -> CloneMethod {
        let Some(file) = tree.files.iter().find(|file| file.bytes > 0) else {
            return CloneMethod::Copy;
        };
        let to = self.to.join(&file.path);
        let shared = reflink_copy::reflink(self.from.join(&file.path), &to).is_ok();
        let _ = std::fs::remove_file(&to);
        if shared {
            CloneMethod::Reflink
        } else {
            CloneMethod::Copy
        }
    }

    fn share(&self, file: &Member, stop: &Stop) -> Result<()> {
        let (from, to) = (self.from.join(&file.path), self.to.join(&file.path));
        let failed = |error| cannot("copy", &from, error);
        if let Some(entry) = self.expected(file)? {
            self.untouched(file, entry)?;
        }
        reflink_copy::reflink(&from, &to).map_err(failed)?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        stop.add(file.bytes);
        self.account.own(&to)
    }

    /// For a file that is not going to be read: whoever wrote to it changed its times.
    fn untouched(&self, file: &Member, entry: Entry) -> Result<()> {
        let from = self.from.join(&file.path);
        let failed = |error| cannot("read", &from, error);
        let facts = std::fs::metadata(&from).map_err(failed)?;
        if Times::of(&facts) != entry.times {
            let source = File::open(&from).map_err(failed)?;
            if checksum(source).map_err(failed)? != entry.crc {
                return Err(self.changed(&file.path, "has other bytes"));
            }
        }
        Ok(())
    }

    /// Writes what is not there yet; how many bytes were there.
    fn write(&self, tree: &Tree, stop: &Stop) -> Result<u64> {
        let ways = in_parallel(&tree.files, stop, |file, _| self.begin(file))?;
        let parts: Vec<Part> = std::iter::zip(&tree.files, ways)
            .enumerate()
            .flat_map(|(index, (file, way))| Part::of(index, file.bytes, way))
            .collect();
        let done = self.parts(tree, &parts, stop)?;
        let mut again = Vec::new();
        self.end(tree, &parts, &done, &mut again)?;
        // The disk changed under it, or its time was set by hand: it is written anew.
        let renewed = self.parts(tree, &again, stop)?;
        self.end(tree, &again, &renewed, &mut Vec::new())?;
        let written: u64 = done.iter().chain(&renewed).map(|done| done.written).sum();
        Ok(tree.bytes().saturating_sub(written))
    }

    fn parts(&self, tree: &Tree, parts: &[Part], stop: &Stop) -> Result<Vec<Done>> {
        in_parallel(parts, stop, |part, stop| {
            let path = &tree.files[part.file].path;
            let from = self.from.join(path);
            part.run(&from, &self.to.join(path), stop)
                .map_err(|error| cannot("copy", &from, error))
        })
    }

    /// Sees what is to be done with a file, and makes it where it is not there.
    fn begin(&self, file: &Member) -> Result<Way> {
        let to = self.to.join(&file.path);
        let failed = |error| cannot("write", &to, error);
        let entry = self.expected(file)?;
        if let Ok(facts) = std::fs::symlink_metadata(&to) {
            if let Some(entry) = entry
                && facts.len() == entry.bytes
                && Times::of(&facts).same_modification(entry.times)
            {
                self.untouched(file, entry)?;
                return Ok(Way::Compare);
            }
            let target = File::options().write(true).open(&to).map_err(failed)?;
            target.set_len(file.bytes).map_err(failed)?;
            return Ok(Way::Renew);
        }
        let target = File::options()
            .write(true)
            .create_new(true)
            .open(&to)
            .map_err(failed)?;
        target
            .set_permissions(std::fs::Permissions::from_mode(0o600))
            .map_err(failed)?;
        self.account.own(&to)?;
        Ok(Way::Copy)
    }

    /// Compares each file with what it has to be, and gives it its original's time. What is to be
    /// done again goes to `again`.
    fn end(&self, tree: &Tree, parts: &[Part], done: &[Done], again: &mut Vec<Part>) -> Result<()> {
        let mut parts = std::iter::zip(parts, done).peekable();
        while let Some((part, first)) = parts.next() {
            let (file, mut crc) = (&tree.files[part.file], first.crc);
            while let Some((_, next)) = parts.next_if(|(next, _)| next.file == part.file) {
                crc = crc32c::crc32c_combine(crc, next.crc, next.read as usize);
            }
            let Some(entry) = self.expected(file)? else {
                continue;
            };
            match part.way {
                Way::Compare if entry.crc == crc => {}
                Way::Compare => again.extend(Part::of(part.file, file.bytes, Way::Renew)),
                Way::Copy | Way::Renew if entry.crc == crc => {
                    self.date(file, entry)?;
                }
                Way::Copy | Way::Renew => {
                    return Err(self.changed(&file.path, "has other bytes"));
                }
            }
        }
        Ok(())
    }

    fn date(&self, file: &Member, entry: Entry) -> Result<()> {
        let to = self.to.join(&file.path);
        let Some(time) = entry.times.modified() else {
            return Ok(());
        };
        File::options()
            .write(true)
            .open(&to)
            .and_then(|target| target.set_modified(time))
            .map_err(|error| cannot("write", &to, error))
    }

    fn expected(&self, file: &Member) -> Result<Option<Entry>> {
        let Some(listing) = &self.listing else {
            return Ok(None);
        };
        match listing.of(&file.path) {
            None => Err(self.changed(&file.path, "is new")),
            Some(entry) if entry.bytes != file.bytes => {
                Err(self.changed(&file.path, "has another size"))
            }
            entry => Ok(entry),
        }
    }

    fn changed(&self, path: &Path, how: &str) -> Error {
        Error::stage(format!(
            "`{}` of the restored snapshot {how}: it was changed since it was made",
            self.from.join(path).display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::watch::Unwatched;

    fn base() -> tempfile::TempDir {
        let base = tempfile::tempdir().expect("a folder");
        let data = base.path().join("data");
        std::fs::create_dir_all(data.join("base/5")).expect("created");
        for number in 0..20 {
            let bytes = vec![b'x'; number * 300_000];
            std::fs::write(data.join(format!("base/5/{number}")), bytes).expect("written");
        }
        Listing::make(&data, &Stop::default())
            .and_then(|listing| listing.write(base.path()))
            .expect("listed");
        base
    }

    async fn clone(base: &Path) -> Result<Made> {
        let run = tempfile::tempdir().expect("a folder");
        clone_to(base, &run.path().join("data")).await
    }

    async fn clone_to(base: &Path, to: &Path) -> Result<Made> {
        let job = Job {
            from: base.join("data"),
            to: to.to_owned(),
            account: Account::choose(None).expect("an account"),
            links: Links::Refuse,
            left_out: |_| false,
            listing: Listing::read(base),
        };
        let made = copy(job, &Unwatched).await?;
        for number in 0..20 {
            let copied = std::fs::read(to.join(format!("base/5/{number}"))).expect("read");
            assert!(copied == vec![b'x'; number * 300_000], "{number}");
        }
        Ok(made)
    }

    /// What a run and time can do to a clone.
    fn use_up(data: &Path) {
        let file = |name: &str| data.join("base/5").join(name);
        std::fs::write(file("3"), vec![b'y'; 900_000]).expect("written");
        std::fs::write(file("4"), "shorter").expect("written");
        std::fs::remove_file(file("5")).expect("removed");
        std::fs::write(file("new"), "a relation").expect("written");
        std::fs::create_dir_all(data.join("base/99")).expect("created");
        std::fs::write(data.join("base/99/1"), "a database").expect("written");
        // A bit that fell over on the disk: no time tells of it.
        let rotten = std::fs::File::options().write(true).open(file("12"));
        let rotten = rotten.expect("opened");
        let time = rotten.metadata().and_then(|facts| facts.modified());
        std::os::unix::fs::FileExt::write_at(&rotten, b"X", 1_000_000).expect("written");
        rotten.set_modified(time.expect("a time")).expect("set");
    }

    #[tokio::test]
    async fn an_earlier_clone_becomes_a_fresh_one() {
        let base = base();
        let run = tempfile::tempdir().expect("a folder");
        let to = run.path().join("data");
        let all: u64 = (0..20).map(|number| number * 300_000).sum();
        let kept = async || {
            let made = clone_to(base.path(), &to).await.expect("cloned");
            assert_eq!(made.method, CloneMethod::Copy);
            assert!(!to.join("base/5/new").exists() && !to.join("base/99").exists());
            made.kept
        };
        if clone_to(base.path(), &to).await.expect("cloned").method == CloneMethod::Reflink {
            return;
        }
        assert_eq!(kept().await, all);
        use_up(&to);
        // All of `3`, `4` and `5`, and the piece of `12` with the bit.
        assert_eq!(kept().await, all - 300_000 * (3 + 4 + 5) - 1024 * 1024);
        assert_eq!(kept().await, all);
        // Its base is looked at all the same.
        let file = base.path().join("data/base/5/7");
        let before = std::fs::read(&file).expect("read");
        std::fs::write(&file, vec![b'y'; 2_100_000]).expect("written");
        let story = clone_to(base.path(), &to).await.expect_err("changed");
        assert!(story.story().contains("base/5/7` of the restored snapshot"));
        std::fs::write(&file, &before).expect("written");
        assert_eq!(kept().await, all);
        // A tablespace: nothing of it is used.
        std::os::unix::fs::symlink("/", to.join("base/link")).expect("linked");
        assert_eq!(kept().await, 0);
    }

    #[tokio::test]
    async fn a_base_that_was_changed_is_not_cloned() {
        let base = base();
        let whole = clone(base.path()).await;
        assert!(whole.is_ok(), "{whole:?}");
        let file = base.path().join("data/base/5/7");
        let before = std::fs::read(&file).expect("read");

        let mut flipped = before.clone();
        flipped[1_000_000] ^= 1;
        for (bytes, how) in [
            (Some(flipped.as_slice()), "has other bytes"),
            (Some(&before[1..]), "has another size"),
            (None, "is gone"),
        ] {
            match bytes {
                Some(bytes) => std::fs::write(&file, bytes).expect("written"),
                None => std::fs::remove_file(&file).expect("removed"),
            }
            let story = clone(base.path()).await.expect_err(how).story();
            assert!(
                story.contains("base/5/7` of the restored snapshot") && story.contains(how),
                "{story}"
            );
        }
        // The bytes are what counts, not who wrote them.
        std::fs::write(&file, &before).expect("written");
        assert!(clone(base.path()).await.is_ok());
        std::fs::write(base.path().join("data/base/5/99"), "").expect("written");
        let story = clone(base.path()).await.expect_err("one too many").story();
        assert!(
            story.contains("base/5/99` of the restored snapshot is new"),
            "{story}"
        );
    }
}
