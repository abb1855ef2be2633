//! Files that are read whole: up to a limit, whatever they turn out to be.
//!
//! A pipe of the shell (`<(…)`) is read as a file is. A device ends with less, since most have no end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The most of a description, a list or a key: people write them, or a tool writes a line for each of few things.
pub const DESCRIPTION: u64 = 16 << 20;
/// The most of what lists every file of a server, or every object of a database.
pub const LIST: u64 = 256 << 20;
/// The most of SQL: no longer text reaches a server in one piece.
pub const SQL: u64 = 1 << 30;
/// The most of a device.
const DEVICE: u64 = 1 << 20;

/// All of it, if that is not more than so many bytes.
///
/// # Errors
/// It cannot be read, is no file, or has more.
pub fn bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let facts = file.metadata()?;
    let kind = facts.file_type();
    if kind.is_dir() {
        return Err(nix::Error::EISDIR.into());
    }
    if kind.is_block_device() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is a disk"));
    }
    if kind.is_file() && facts.len() > most {
        return Err(too_large(most));
    }
    let most = if kind.is_char_device() {
        most.min(DEVICE)
    } else {
        most
    };
    of(file, most)
}

/// The same, as text.
///
/// # Errors
/// As [`bytes`], or it is not UTF-8.
pub fn text(path: &Path, most: u64) -> Result<String> {
    utf8(bytes(path, most)?)
}

/// These bytes as text.
///
/// # Errors
/// They are not UTF-8.
pub fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not valid UTF-8"))
}

/// All of a stream, if that is not more than so many bytes.
///
/// # Errors
/// It cannot be read, or has more.
pub fn of(stream: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(bytes)
}

fn too_large(most: u64) -> Error {
    let shown = match most {
        gib if gib >= 1 << 30 => format!("{} GiB", gib >> 30),
        mib if mib >= 1 << 20 => format!("{} MiB", mib >> 20),
        bytes => format!("{bytes} bytes"),
    };
    Error::new(
        ErrorKind::FileTooLarge,
        format!("it is larger than {shown}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_given_up() {
        for path in ["/dev/zero", "/dev/urandom"] {
            let error = bytes(Path::new(path), SQL).expect_err(path);
            assert_eq!(error.to_string(), "it is larger than 1 MiB");
        }
        assert_eq!(bytes(Path::new("/dev/null"), SQL).expect("empty"), b"");
        let room = tempfile::tempdir().expect("a folder");
        let error = bytes(room.path(), SQL).expect_err("a folder");
        assert!(error.to_string().contains("Is a directory"), "{error}");
        // Of a file its size is enough: nothing of it is read.
        let file = File::create(room.path().join("sparse")).expect("made");
        file.set_len(5 << 30).expect("grown");
        let error = text(&room.path().join("sparse"), SQL).expect_err("large");
        assert_eq!(error.to_string(), "it is larger than 1 GiB");
        assert!(of(std::io::repeat(b'x'), 1000).is_err());
    }

    #[test]
    fn what_has_an_end_is_read_to_it() {
        assert_eq!(of(&b"1234"[..], 4).expect("whole"), b"1234");
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("a");
        std::fs::write(&path, "größe").expect("written");
        assert_eq!(text(&path, DESCRIPTION).expect("whole"), "größe");
        std::fs::write(&path, b"\xff").expect("written");
        assert!(text(&path, DESCRIPTION).is_err() && bytes(&path, 1).is_ok());
        let pipe = room.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let written = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(written, "SELECT 1;"));
        assert_eq!(text(&pipe, SQL).expect("read"), "SELECT 1;");
        writer.join().expect("ended").expect("written");
    }
}
