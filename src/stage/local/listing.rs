//! Every file of a base as it was when the base was made, so that a base that was changed since is
//! told from a whole one: a gate must not run on half a snapshot without a word.
//!
//! `<base>/files.list`, a line a file: checksum, size, times of change, path.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::folder::cannot;
use super::tree::{Links, Stop, Tree, in_parallel};
use crate::Result;

/// Its name beside the data folder.
const FILE: &str = "files.list";

/// A piece of a file that is read at once.
pub(super) const PIECE: usize = 1024 * 1024;

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// CRC-32C of its bytes, which every current processor computes faster than memory delivers.
    pub crc: u32,
    pub times: Times,
    pub bytes: u64,
}

/// What every write through the file system changes: modification and change, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times(i128, i128);

impl Times {
    pub fn of(facts: &std::fs::Metadata) -> Self {
        let nanos =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self(
            nanos(facts.mtime(), facts.mtime_nsec()),
            nanos(facts.ctime(), facts.ctime_nsec()),
        )
    }

    /// Whether both were modified at the same moment: a clone's file has its original's time until
    /// a server writes to it.
    pub fn same_modification(self, other: Self) -> bool {
        self.0 == other.0
    }

    /// The modification; None: no clock of a file system can be set to it.
    pub fn modified(self) -> Option<SystemTime> {
        let since = u64::try_from(self.0).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(since))
    }
}

/// The files of a base, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing(BTreeMap<PathBuf, Entry>);

impl Listing {
    /// Reads every file below a data folder once.
    pub fn make(data: &Path, stop: &Stop) -> Result<Self> {
        let tree = Tree::walk(data, Links::Refuse)?;
        let entries = in_parallel(&tree.files, stop, |file, stop| {
            let path = data.join(&file.path);
            let entry = (|| {
                let source = File::open(&path)?;
                let facts = source.metadata()?;
                Ok(Entry {
                    crc: checksum(source)?,
                    times: Times::of(&facts),
                    bytes: facts.len(),
                })
            })();
            stop.add(file.bytes);
            entry.map_err(|error: std::io::Error| cannot("read", &path, error))
        })?;
        Ok(Self(
            tree.files
                .into_iter()
                .map(|file| file.path)
                .zip(entries)
                .collect(),
        ))
    }

    /// The listing of a base; None: it was made before there was one, or it cannot be read.
    pub fn read(base: &Path) -> Option<Self> {
        let file = File::open(base.join(FILE)).ok()?;
        BufReader::new(file)
            .lines()
            .map(|line| parse(&line.ok()?))
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Writes it, onto the disk.
    pub fn write(&self, base: &Path) -> Result<()> {
        let path = base.join(FILE);
        let written = (|| {
            let mut file = BufWriter::new(File::create(&path)?);
            for (path, Entry { crc, times, bytes }) in &self.0 {
                // PostgreSQL names its files in ASCII without line breaks.
                writeln!(
                    file,
                    "{crc:08x} {bytes} {} {} {}",
                    times.0,
                    times.1,
                    path.display()
                )?;
            }
            file.into_inner()
                .map_err(|error| error.into_error())?
                .sync_all()
        })();
        written.map_err(|error: std::io::Error| cannot("write", &path, error))
    }

    /// What it says of a file.
    pub fn of(&self, path: &Path) -> Option<Entry> {
        self.0.get(path).copied()
    }

    /// A file that is listed and not in the tree.
    pub fn missing_in(&self, tree: &Tree) -> Option<&Path> {
        // Both are in order, and every file of the tree is compared by itself.
        if self.0.len() == tree.files.len() {
            return None;
        }
        let there: std::collections::BTreeSet<&Path> =
            tree.files.iter().map(|file| file.path.as_path()).collect();
        self.0
            .keys()
            .map(PathBuf::as_path)
            .find(|path| !there.contains(path))
    }
}

fn parse(line: &str) -> Option<(PathBuf, Entry)> {
    let mut fields = line.splitn(5, ' ');
    let crc = u32::from_str_radix(fields.next()?, 16).ok()?;
    let bytes = fields.next()?.parse().ok()?;
    let times = Times(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((fields.next()?.into(), Entry { crc, times, bytes }))
}

/// The checksum of all that is left to read.
pub(super) fn checksum(mut source: impl Read) -> std::io::Result<u32> {
    let mut piece = vec![0; PIECE];
    let mut crc = 0;
    loop {
        let length = source.read(&mut piece)?;
        if length == 0 {
            return Ok(crc);
        }
        crc = crc32c::crc32c_append(crc, &piece[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let base = tempfile::tempdir().expect("a folder");
        let data = base.path().join("data");
        std::fs::create_dir_all(data.join("base/5")).expect("created");
        std::fs::write(data.join("base/5/16384"), "123456789").expect("written");
        std::fs::write(data.join("PG_VERSION"), "").expect("written");
        let made = Listing::make(&data, &Stop::default()).expect("made");
        made.write(base.path()).expect("written");
        assert_eq!(Listing::read(base.path()), Some(made.clone()));
        let entry = made.of(Path::new("base/5/16384")).expect("listed");
        // The check value of CRC-32C.
        assert_eq!((entry.crc, entry.bytes), (0xe306_9283, 9));
        std::fs::write(base.path().join(FILE), "half a li").expect("written");
        assert_eq!(Listing::read(base.path()), None);
    }
}
