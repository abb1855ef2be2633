//! One part of a file of a clone: copied, brought back to what it was, or only compared.
//!
//! In parts, since a table has files of 1 GiB: a thread for each file would leave one of them alone at the
//! end, and the disk idle until that one syncs.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::listing::PIECE;
use super::tree::{Load, Stop};

/// The most of a file that is done at once.
const LENGTH: u64 = 64 * 1024 * 1024;

/// What was written is sent to the disk from this size on while other parts are being copied; what is
/// smaller waits for the one sync at the end.
const WRITE_BACK: u64 = 4 * 1024 * 1024;

/// What there is to do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is there since it was made for this clone, and empty.
    Copy,
    /// An earlier clone's: what differs is written.
    Renew,
    /// An earlier clone's that nobody has written to: it is read, as its original would be.
    Compare,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Which of the files.
    pub file: usize,
    pub way: Way,
    from: u64,
    bytes: u64,
}

impl Load for Part {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Of what was read.
    pub crc: u32,
    pub read: u64,
    pub written: u64,
}

impl Part {
    /// The parts of a file of this size, none of an empty one.
    pub fn of(file: usize, bytes: u64, way: Way) -> impl Iterator<Item = Self> {
        (0..bytes.div_ceil(LENGTH)).map(move |number| Self {
            file,
            way,
            from: number * LENGTH,
            bytes: LENGTH.min(bytes - number * LENGTH),
        })
    }

    /// Does it.
    pub fn run(&self, from: &Path, to: &Path, stop: &Stop) -> std::io::Result<Done> {
        let mut done = Done {
            crc: 0,
            read: 0,
            written: 0,
        };
        let (source, target) = match self.way {
            Way::Compare => (File::open(to)?, None),
            Way::Copy => (
                File::open(from)?,
                Some(File::options().write(true).open(to)?),
            ),
            Way::Renew => (
                File::open(from)?,
                Some(File::options().read(true).write(true).open(to)?),
            ),
        };
        let most = usize::try_from(self.bytes).map_or(PIECE, |bytes| bytes.min(PIECE));
        let mut piece = vec![0; most];
        let mut present = vec![0; if self.way == Way::Renew { most } else { 0 }];
        while done.read < self.bytes {
            if stop.is_asked() {
                return Err(ErrorKind::Interrupted.into());
            }
            let at = self.from + done.read;
            let left = usize::try_from(self.bytes - done.read).map_or(most, |left| left.min(most));
            let length = read_at(&source, &mut piece[..left], at)?;
            // Shorter than it was a moment ago: its checksum will not be the one that is wanted.
            if length == 0 {
                break;
            }
            let piece = &piece[..length];
            done.crc = crc32c::crc32c_append(done.crc, piece);
            if let Some(target) = &target {
                let is_there = self.way == Way::Renew
                    && read_at(target, &mut present[..length], at)? == length
                    && present[..length] == *piece;
                if !is_there {
                    target.write_all_at(piece, at)?;
                    done.written += length as u64;
                }
            }
            done.read += length as u64;
            stop.add(length as u64);
        }
        if let Some(target) = target
            && done.written >= WRITE_BACK
        {
            target.sync_data()?;
        }
        Ok(done)
    }
}

/// Fills the piece; less only at the file's end.
fn read_at(file: &File, piece: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut length = 0;
    while length < piece.len() {
        match file.read_at(&mut piece[length..], at + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_whole_file() {
        for bytes in [0, 1, LENGTH - 1, LENGTH, LENGTH + 1, 5 * LENGTH + 7] {
            let mut next = 0;
            for part in Part::of(3, bytes, Way::Copy) {
                assert_eq!((part.file, part.from), (3, next));
                assert!(part.bytes > 0 && part.bytes <= LENGTH);
                next += part.bytes;
            }
            assert_eq!(next, bytes);
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let bytes = vec![7; 3 * PIECE + 5];
        let mut other = bytes.clone();
        other[PIECE + 9] = 8;
        std::fs::write(&from, &bytes).expect("written");
        std::fs::write(&to, &other).expect("written");
        let run = |way| {
            let parts: Vec<Part> = Part::of(0, bytes.len() as u64, way).collect();
            assert_eq!(parts.len(), 1);
            parts[0].run(&from, &to, &Stop::default()).expect("done")
        };
        let crc = crc32c::crc32c(&bytes);
        let compared = run(Way::Compare);
        assert!(compared.crc != crc && compared.written == 0);
        let renewed = run(Way::Renew);
        assert_eq!((renewed.crc, renewed.written), (crc, PIECE as u64));
        assert_eq!(std::fs::read(&to).expect("read"), bytes);
        assert_eq!(run(Way::Renew).written, 0);
        assert_eq!(run(Way::Compare).crc, crc);
        assert_eq!(run(Way::Copy).written, bytes.len() as u64);
    }
}
