//! A file that is written beside its place and put there when it is whole: what was there before is never half gone.
//!
//! That it can be written is tried before the run; what is left of that is nothing.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufWriter, ErrorKind, Result, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A place that was found writable.
#[derive(Debug)]
pub struct Beside {
    target: PathBuf,
    way: Way,
}

/// How the file gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a rename.
    Renamed,
    /// Its folder takes no other file: it is written where it is.
    InPlace,
}

impl Beside {
    /// Tries it: a file that is there can be written, and one can be made beside it.
    pub fn at(target: &Path) -> Result<Self> {
        let present = match OpenOptions::new().write(true).open(target) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let target = target.to_owned();
        match temporary(&target) {
            Ok(_) => Ok(Self {
                target,
                way: Way::Renamed,
            }),
            Err(_) if present => Ok(Self {
                target,
                way: Way::InPlace,
            }),
            Err(error) => Err(error),
        }
    }

    /// Writes all of it.
    pub fn write(self, render: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let way = self.way;
        let mut stream = Stream::at(self);
        stream.begin(way)?;
        render(&mut stream)?;
        stream.flush()
    }
}

/// A file that grows: in its place from its first flush on, so that it can be read whatever happens later.
#[derive(Debug)]
pub struct Stream {
    target: PathBuf,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing was written: there is no file of it, in whatever way it ends.
    Unbegun(Way),
    /// Nothing of it is to be seen.
    Beside(BufWriter<NamedTempFile>),
    /// It is there.
    There(BufWriter<File>),
    /// Putting it there failed, which was told.
    Lost,
}

impl Stream {
    /// Of nothing yet.
    pub fn at(place: Beside) -> Self {
        Self {
            target: place.target,
            stage: Stage::Unbegun(place.way),
        }
    }

    fn begin(&mut self, way: Way) -> Result<()> {
        self.stage = match way {
            Way::Renamed => Stage::Beside(BufWriter::new(temporary(&self.target)?)),
            Way::InPlace => Stage::There(BufWriter::new(File::create(&self.target)?)),
        };
        Ok(())
    }

    fn publish(&mut self, written: BufWriter<NamedTempFile>) -> Result<()> {
        let file = written.into_inner().map_err(|error| error.into_error())?;
        like(&self.target, file.as_file());
        let file = match file.persist(&self.target) {
            Ok(file) => file,
            // One file that is mounted where it is, as into a container: it cannot be replaced.
            Err(error) if error.error.kind() == ErrorKind::ResourceBusy => {
                let mut beside = error.file;
                let mut file = File::create(&self.target)?;
                beside.rewind()?;
                std::io::copy(&mut beside, &mut file)?;
                file
            }
            Err(error) => return Err(error.error),
        };
        self.stage = Stage::There(BufWriter::new(file));
        Ok(())
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if let Stage::Unbegun(way) = self.stage {
            self.begin(way)?;
        }
        match &mut self.stage {
            Stage::Beside(file) => file.write(bytes),
            Stage::There(file) => file.write(bytes),
            Stage::Lost | Stage::Unbegun(_) => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.stage, Stage::Lost) {
            Stage::Beside(file) => self.publish(file),
            Stage::Unbegun(way) => {
                self.stage = Stage::Unbegun(way);
                Ok(())
            }
            Stage::There(mut file) => {
                let flushed = file.flush();
                self.stage = Stage::There(file);
                flushed
            }
            Stage::Lost => Err(ErrorKind::BrokenPipe.into()),
        }
    }
}

/// A file with no name of its own yet, in the folder of another: as any file, read by those whom the umask lets.
fn temporary(target: &Path) -> Result<NamedTempFile> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    tempfile::Builder::new()
        .prefix(".lockproof-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        // Its name is nothing that was typed.
        .map_err(|error| match error.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number),
            None => error.kind().into(),
        })
}

/// What is replaced keeps its rights, and its owner where that can be.
fn like(present: &Path, file: &File) {
    let Ok(facts) = std::fs::metadata(present) else {
        return;
    };
    let _ = std::os::unix::fs::fchown(file, Some(facts.uid()), Some(facts.gid()));
    // Not all of them: a report is no program.
    let mode = facts.mode() & 0o666;
    let _ = file.set_permissions(Permissions::from_mode(mode));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_stays_until_the_new_one_is_whole() {
        let room = tempfile::tempdir().expect("a folder");
        let target = room.path().join("report");
        std::fs::write(&target, "old").expect("written");
        std::fs::set_permissions(&target, Permissions::from_mode(0o640)).expect("set");
        let other = room.path().join("hard");
        std::fs::hard_link(&target, &other).expect("linked");
        let place = Beside::at(&target).expect("writable");
        assert_eq!(names(room.path()), ["hard", "report"]);
        let read = || std::fs::read_to_string(&target).expect("read");
        assert_eq!(read(), "old");
        let failed = Beside::at(&target).expect("writable").write(|sink| {
            sink.write_all(b"half")?;
            Err(std::io::Error::other("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(read(), "old");
        place.write(|sink| sink.write_all(b"new")).expect("written");
        assert_eq!(read(), "new");
        let mode = std::fs::metadata(&target).expect("there").mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(std::fs::read_to_string(&other).expect("read"), "old");
        assert_eq!(names(room.path()), ["hard", "report"]);
    }

    #[test]
    fn a_stream_is_there_from_its_first_flush_on() {
        let room = tempfile::tempdir().expect("a folder");
        let target = room.path().join("run.jsonl");
        std::fs::write(&target, "an older one").expect("written");
        let read = || std::fs::read_to_string(&target).expect("read");
        let mut stream = Stream::at(Beside::at(&target).expect("writable"));
        stream.write_all(b"head\n").expect("written");
        assert_eq!(read(), "an older one");
        stream.flush().expect("flushed");
        assert_eq!(read(), "head\n");
        stream.write_all(b"line\n").expect("written");
        stream.flush().expect("flushed");
        assert_eq!(read(), "head\nline\n");
        drop(stream);
        // One that never began leaves what was there.
        drop(Stream::at(Beside::at(&target).expect("writable")));
        assert_eq!(read(), "head\nline\n");
        assert_eq!(names(room.path()), ["run.jsonl"]);
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let room = tempfile::tempdir().expect("a folder");
        let refused = |name: &str| Beside::at(&room.path().join(name)).expect_err(name).kind();
        assert_eq!(refused("nowhere/report"), ErrorKind::NotFound);
        std::fs::create_dir(room.path().join("folder")).expect("made");
        assert_eq!(refused("folder"), ErrorKind::IsADirectory);
        assert_eq!(refused(&"x".repeat(300)), ErrorKind::InvalidFilename);
        if !nix::unistd::geteuid().is_root() {
            let file = room.path().join("read-only");
            std::fs::write(&file, "").expect("written");
            std::fs::set_permissions(&file, Permissions::from_mode(0o444)).expect("set");
            assert_eq!(refused("read-only"), ErrorKind::PermissionDenied);
        }
    }
}
