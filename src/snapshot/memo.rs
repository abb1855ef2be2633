//! The digests of files that were read before: SHA-256 of 100 GB takes minutes, and a second run may
//! not pay for it again.
//!
//! One file, `<cache>/digests.json`, replaced as a whole under a lock. A file is known by its place and by what
//! changes whenever its content does. Whatever cannot be told for sure is read again: a memo that is
//! absent, damaged or not writable costs time and nothing else.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::stage::whole;

/// Raised when an older memo would be misread.
const FORMAT: u32 = 1;
/// Smaller files are read each time: a megabyte takes a millisecond, as long as looking it up.
pub(super) const WORTH_IT: u64 = 1 << 20;
/// Some 4 MB of memo; what was not asked for the longest goes first.
const ENTRIES: usize = 16_384;
/// A file that changed so shortly before it was read may change again without its times showing it:
/// they are as coarse as 2 s on some file systems (FAT).
const RACY_SECONDS: i64 = 2;

/// What of a file changes with its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traits {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Cannot be set by any program, unlike `modified`.
    changed: (i64, i64),
}

impl Traits {
    pub(super) fn of(facts: &Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }

    /// True when these traits can still stand for another content, now that it is `now`; a time in the
    /// future says nothing at all.
    fn is_racy(&self, now: i64) -> bool {
        now.saturating_sub(self.modified.0.max(self.changed.0)) < RACY_SECONDS
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    traits: Traits,
    digest: String,
    /// When it was last asked for, in seconds of the wall clock: orders, and is compared with nothing else.
    asked: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    format: u32,
    files: BTreeMap<PathBuf, Entry>,
}

/// What is remembered, and what is to be.
#[derive(Debug)]
pub(super) struct Memo {
    /// None: nothing is kept.
    file: Option<PathBuf>,
    known: BTreeMap<PathBuf, Entry>,
    learnt: BTreeMap<PathBuf, Entry>,
    now: i64,
}

impl Memo {
    /// One that knows nothing and keeps nothing.
    pub(super) fn none() -> Self {
        Self {
            file: None,
            known: BTreeMap::new(),
            learnt: BTreeMap::new(),
            now: 0,
        }
    }

    /// That of a cache folder, now that it is `now`.
    pub(super) fn of(cache: &Path, now: i64) -> Self {
        let file = cache.join("digests.json");
        Self {
            known: read(&file),
            file: Some(file),
            learnt: BTreeMap::new(),
            now,
        }
    }

    /// The digest of a file with these traits, if it was read before.
    pub(super) fn digest(&mut self, path: &Path, traits: &Traits) -> Option<String> {
        if traits.size < WORTH_IT {
            return None;
        }
        let path = path.canonicalize().ok()?;
        let entry = self.known.get(&path).filter(|e| e.traits == *traits)?;
        let digest = entry.digest.clone();
        self.learn(path, traits.clone(), digest.clone());
        Some(digest)
    }

    /// Remembers what was read from a file that had these traits before and after.
    pub(super) fn remember(&mut self, path: &Path, traits: Traits, digest: &str) {
        if traits.size >= WORTH_IT
            && !traits.is_racy(self.now)
            && let Ok(path) = path.canonicalize()
        {
            self.learn(path, traits, digest.to_owned());
        }
    }

    fn learn(&mut self, path: PathBuf, traits: Traits, digest: String) {
        let asked = self.now;
        self.learnt.insert(
            path,
            Entry {
                traits,
                digest,
                asked,
            },
        );
    }

    /// Keeps what was learnt. A failure is no one's business: the next run reads the files again.
    pub(super) fn keep(self) {
        let Some(file) = &self.file else { return };
        // A use is noted once a day at the most: a run that restores nothing writes nothing.
        let day = 24 * 3600;
        let is_new = |(path, entry): (&PathBuf, &Entry)| {
            self.known.get(path).is_none_or(|known| {
                known.traits != entry.traits || entry.asked.saturating_sub(known.asked) > day
            })
        };
        if self.learnt.iter().any(is_new) {
            let _ = write(file, self.learnt);
        }
    }
}

fn read(file: &Path) -> BTreeMap<PathBuf, Entry> {
    whole::bytes(file, whole::LIST)
        .ok()
        .and_then(|text| serde_json::from_slice::<Stored>(&text).ok())
        .filter(|stored| stored.format == FORMAT)
        .map(|stored| stored.files)
        .unwrap_or_default()
}

/// Puts the new beside what others wrote meanwhile, and replaces the file at once.
fn write(file: &Path, learnt: BTreeMap<PathBuf, Entry>) -> std::io::Result<()> {
    let folder = file.parent().ok_or(std::io::ErrorKind::NotFound)?;
    open_folder(folder)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("digests.lock"))?;
    lock.lock()?;
    let mut files = read(file);
    files.extend(learnt);
    if files.len() > ENTRIES {
        let mut times: Vec<i64> = files.values().map(|entry| entry.asked).collect();
        times.sort_unstable();
        let oldest = times[files.len() - ENTRIES];
        files.retain(|_, entry| entry.asked >= oldest);
        // Those of one moment, the last by name.
        while files.len() > ENTRIES {
            files.pop_last();
        }
    }
    let text = serde_json::to_vec(&Stored {
        format: FORMAT,
        files,
    })?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&text)?;
    // Half a memo after a lost power would be no memo: no harm, hence no sync.
    new.persist(file).map_err(|failed| failed.error)?;
    Ok(())
}

/// The cache folder may still have to be made, open to the account of a local server whatever our umask.
fn open_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: i64 = i64::MAX / 2;

    fn big(folder: &Path, name: &str, byte: u8) -> (PathBuf, Traits) {
        let path = folder.join(name);
        std::fs::write(&path, vec![byte; WORTH_IT as usize]).expect("written");
        let traits = Traits::of(&path.metadata().expect("there"));
        (path, traits)
    }

    #[test]
    fn a_file_is_known_again_until_anything_of_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("cache");
        let (path, traits) = big(folder.path(), "dump", 1);
        let mut memo = Memo::of(&cache, LATER);
        assert_eq!(memo.digest(&path, &traits), None);
        memo.remember(&path, traits.clone(), "one");
        memo.keep();
        let mut memo = Memo::of(&cache, LATER);
        assert_eq!(memo.digest(&path, &traits), Some("one".to_owned()));
        // The same size, and the time of change set back: the time that nobody can set tells.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let modified = path
            .metadata()
            .and_then(|facts| facts.modified())
            .expect("a time");
        std::fs::write(&path, vec![2; WORTH_IT as usize]).expect("written");
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(modified))
            .expect("set");
        let changed = Traits::of(&path.metadata().expect("there"));
        assert_eq!(changed.modified, traits.modified);
        assert_eq!(memo.digest(&path, &changed), None);
    }

    #[test]
    fn what_changed_just_now_or_will_have_is_not_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("cache");
        let (path, traits) = big(folder.path(), "dump", 1);
        let changed = traits.changed.0;
        for (now, known) in [
            (changed - 1000, false),
            (changed, false),
            (changed + 1, false),
            (changed + 2, true),
        ] {
            let mut memo = Memo::of(&cache, now);
            memo.remember(&path, traits.clone(), "one");
            memo.keep();
            assert_eq!(
                Memo::of(&cache, now).digest(&path, &traits).is_some(),
                known,
                "{now}"
            );
        }
    }

    #[test]
    fn small_files_and_damaged_memos_are_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let small = folder.path().join("small");
        std::fs::write(&small, "x").expect("written");
        let traits = Traits::of(&small.metadata().expect("there"));
        let mut memo = Memo::of(folder.path(), LATER);
        memo.remember(&small, traits, "one");
        memo.keep();
        assert!(!folder.path().join("digests.json").exists());
        for text in ["", "[]", "{\"format\":99,\"files\":{}}", "{\"format\":1,"] {
            std::fs::write(folder.path().join("digests.json"), text).expect("written");
            assert!(Memo::of(folder.path(), LATER).known.is_empty(), "{text}");
        }
        // Where nothing can be kept, nothing fails.
        let (path, traits) = big(folder.path(), "dump", 1);
        let mut memo = Memo::of(Path::new("/dev/null/cache"), LATER);
        memo.remember(&path, traits, "one");
        memo.keep();
    }

    #[test]
    fn many_at_once_lose_nothing_and_the_memo_stays_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("cache");
        let files: Vec<_> = (0..8)
            .map(|n| big(folder.path(), &format!("dump-{n}"), n))
            .collect();
        std::thread::scope(|scope| {
            for (path, traits) in &files {
                let cache = &cache;
                scope.spawn(move || {
                    let mut memo = Memo::of(cache, LATER);
                    memo.remember(path, traits.clone(), "one");
                    memo.keep();
                });
            }
        });
        let mut memo = Memo::of(&cache, LATER);
        for (path, traits) in &files {
            assert!(memo.digest(path, traits).is_some(), "{}", path.display());
        }
        let (_, traits) = &files[0];
        let entry = |asked| Entry {
            traits: traits.clone(),
            digest: "one".to_owned(),
            asked,
        };
        let many = (0..ENTRIES + 10).map(|n| (PathBuf::from(format!("/{n}")), entry(n as i64)));
        write(&cache.join("digests.json"), many.collect()).expect("written");
        let known = Memo::of(&cache, LATER).known;
        assert_eq!(known.len(), ENTRIES);
        assert!(!known.contains_key(Path::new("/0")) && known.contains_key(&files[0].0));
    }
}
