//! What kind of dump a file is, by its content: a name says what somebody hoped for.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::{Error, Result};

/// How much of the start is looked at.
const HEAD: usize = 8192;

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// gzip, of one or several members.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// The formats that can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// SQL for `psql`, perhaps packed.
    Plain(Packing),
    /// `pg_dump -Fc`; packed as a whole it can only be streamed.
    Custom(Packing),
    /// `pg_dump -Fd`.
    Directory,
    /// `pg_dump -Ft`.
    Tar,
}

/// Looks at the start of a dump.
pub fn detect(path: &Path) -> Result<Format> {
    let shown = path.display();
    let facts = std::fs::metadata(path).map_err(|error| cannot_read(path, error))?;
    if facts.is_dir() {
        if path.join("toc.dat").is_file() {
            return Ok(Format::Directory);
        }
        return Err(Error::stage(format!(
            "the folder `{shown}` is not a dump: it has no `toc.dat`"
        ))
        .help("a folder is what `pg_dump --format=directory` writes; `source.file` names a file or such a folder"));
    }
    let head = head_of(path, Packing::None)?;
    let packing = packing(&head);
    let content = if packing == Packing::None {
        head
    } else {
        head_of(path, packing)?
    };
    if content.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::stage(format!("the dump `{shown}` is empty"))
            .help("take it again with `pg_dump --format=custom`, and look at its exit status"));
    }
    if content.starts_with(b"PGDMP") {
        return Ok(Format::Custom(packing));
    }
    if is_tar(&content) {
        return if packing == Packing::None {
            Ok(Format::Tar)
        } else {
            Err(Error::stage(format!("`{shown}` is a packed tar archive"))
                .help("unpack it (`tar -xf`) and name the dump in it, or the folder that it holds"))
        };
    }
    if let Some((what, help)) = something_else(&content) {
        return Err(Error::stage(format!("`{shown}` is not a dump: it is {what}")).help(help));
    }
    Ok(Format::Plain(packing))
}

pub(super) fn packing(head: &[u8]) -> Packing {
    if head.starts_with(&[0x1f, 0x8b]) {
        Packing::Gzip
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Packing::Zstd
    } else {
        Packing::None
    }
}

fn is_tar(content: &[u8]) -> bool {
    content.get(257..262) == Some(b"ustar")
        || (content.len() >= 512 && content.starts_with(b"toc.dat\0"))
}

fn something_else(content: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it first; gzip and Zstandard are read as they are";
    const DUMP: &str =
        "take the dump with `pg_dump`; its plain, custom, directory and tar formats are read";
    let words = content.trim_ascii_start();
    if words.starts_with(b"version https://git-lfs.github.com/") {
        return Some((
            "a Git LFS pointer",
            "fetch the file itself with `git lfs pull`",
        ));
    }
    if words.starts_with(&[0xfd, b'7', b'z', b'X', b'Z']) {
        return Some(("packed with xz", UNPACK));
    }
    if words.starts_with(b"BZh") {
        return Some(("packed with bzip2", UNPACK));
    }
    if words.starts_with(&[0x04, 0x22, 0x4d, 0x18]) {
        return Some(("packed with lz4", UNPACK));
    }
    if words.starts_with(b"PK\x03\x04") {
        return Some(("a zip archive", UNPACK));
    }
    if words.starts_with(b"-- MySQL dump") || words.starts_with(b"-- MariaDB dump") {
        return Some(("a dump of MySQL", DUMP));
    }
    if words.starts_with(b"<") {
        return Some(("HTML or XML, perhaps a download's error page", DUMP));
    }
    if words.starts_with(b"{") || words.starts_with(b"[") {
        return Some(("JSON", DUMP));
    }
    if content.contains(&0) {
        return Some(("binary data of no known kind", DUMP));
    }
    None
}

fn head_of(path: &Path, packing: Packing) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    open(path, packing)
        .and_then(|reader| reader.take(HEAD as u64).read_to_end(&mut head))
        .map_err(|error| damaged(path, packing, error))?;
    Ok(head)
}

/// Opens a file and unpacks it on the way.
pub(super) fn open(path: &Path, packing: Packing) -> std::io::Result<Box<dyn Read + Send>> {
    unpack(File::open(path)?, packing)
}

/// Unpacks a stream; members that follow each other are one stream.
pub(super) fn unpack(
    raw: impl Read + Send + 'static,
    packing: Packing,
) -> std::io::Result<Box<dyn Read + Send>> {
    let raw = BufReader::with_capacity(256 * 1024, raw);
    Ok(match packing {
        Packing::None => Box::new(raw),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
    })
}

/// A packed stream that cannot be unpacked to its end.
pub(super) fn damaged(path: &Path, packing: Packing, error: std::io::Error) -> Error {
    if packing == Packing::None {
        return cannot_read(path, error);
    }
    Error::stage(format!(
        "the dump `{}` is damaged or cut off: it cannot be unpacked to its end",
        path.display()
    ))
    .because(error)
    .help("copy or take it again, and compare its size with the original's")
}

fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    Error::stage(format!("cannot read the dump `{}`", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn detected(content: &[u8]) -> Result<Format> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content).expect("written");
        detect(file.path())
    }

    fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).expect("packed");
        encoder.finish().expect("packed")
    }

    #[test]
    fn formats_are_known_by_their_content() {
        let mut tar = vec![0; 1024];
        tar[..8].copy_from_slice(b"toc.dat\0");
        tar[257..262].copy_from_slice(b"ustar");
        let zstd = zstd::encode_all(&b"SELECT 1;"[..], 1).expect("packed");
        for (content, format) in [
            (b"SELECT 1;".to_vec(), Format::Plain(Packing::None)),
            (gzipped(b"SELECT 1;"), Format::Plain(Packing::Gzip)),
            (zstd, Format::Plain(Packing::Zstd)),
            (b"PGDMP\x01\x0e".to_vec(), Format::Custom(Packing::None)),
            (gzipped(b"PGDMP\x01"), Format::Custom(Packing::Gzip)),
            (tar, Format::Tar),
            // A Latin-1 dump is no UTF-8.
            (b"-- caf\xe9\n".to_vec(), Format::Plain(Packing::None)),
        ] {
            assert_eq!(detected(&content).expect("a dump"), format);
        }
    }

    #[test]
    fn what_is_no_dump_is_called_by_its_name() {
        let tar = {
            let mut tar = vec![0; 1024];
            tar[257..262].copy_from_slice(b"ustar");
            tar
        };
        for (content, message) in [
            (b"".to_vec(), "is empty"),
            (b" \n\n".to_vec(), "is empty"),
            (gzipped(b""), "is empty"),
            (b"\x00\x01\x02binary".to_vec(), "binary data"),
            (b"<!DOCTYPE html>".to_vec(), "HTML"),
            (b"{\"a\":1}".to_vec(), "JSON"),
            (b"-- MySQL dump 10.13".to_vec(), "MySQL"),
            (b"BZh91AY".to_vec(), "bzip2"),
            (
                b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
                "Git LFS",
            ),
            (gzipped(&tar), "packed tar"),
            (gzipped(b"SELECT 1;")[..12].to_vec(), "damaged or cut off"),
        ] {
            let error = detected(&content).expect_err(message);
            assert!(error.to_string().contains(message), "{error}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let error = detect(folder.path()).expect_err("no toc.dat");
        assert!(error.to_string().contains("toc.dat"));
        let error = detect(&folder.path().join("absent")).expect_err("absent");
        assert!(error.to_string().contains("absent"));
    }
}
