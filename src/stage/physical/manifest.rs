//! `backup_manifest`: what `pg_basebackup` says of every file of a backup, compared with what is there.
//!
//! <https://www.postgresql.org/docs/current/backup-manifest-format.html>

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::Digest;

use super::files::{Files, Piece, unreadable};
use super::is_left_out;
use crate::stage::whole;
use crate::{Error, Result};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    files: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

/// Compares; `advance` counts bytes, and ends it by saying no.
pub(super) fn verify(path: &Path, files: &Files, advance: &dyn Fn(u64) -> bool) -> Result<()> {
    let text = whole::bytes(path, whole::SQL).map_err(|error| unreadable(path, error))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        Error::stage(format!("`{}` cannot be read", path.display()))
            .because(error)
            .help(HELP)
    })?;
    let mut listed: BTreeMap<PathBuf, &Listed> = manifest
        .files
        .iter()
        .filter_map(|file| Some((PathBuf::from(file.path.as_deref()?), file)))
        .filter(|(path, _)| !is_left_out(path))
        .collect();
    for piece in &files.pieces {
        match piece {
            Piece::Folder(folder) => {
                for (path, file) in std::mem::take(&mut listed) {
                    let at = folder.join(&path);
                    let same = std::fs::File::open(&at)
                        .and_then(|content| file.is(content, advance))
                        .map_err(|error| damaged(&at).because(error))?;
                    if !same {
                        return Err(damaged(&at));
                    }
                }
            }
            Piece::Archive { file: archive, to } => {
                let mut wrong = None;
                Files::members(archive, to, |member| {
                    if let Some((_, content)) = member.content
                        && let Some(file) = listed.remove(&member.path)
                        && !file.is(content, advance)?
                    {
                        wrong = Some(member.path);
                        return Err(std::io::Error::other("its checksum is another"));
                    }
                    Ok(())
                })
                .map_err(|error| match &wrong {
                    Some(path) => damaged(path),
                    None => damaged(archive).because(error),
                })?;
            }
        }
    }
    match listed.keys().next() {
        None => Ok(()),
        Some(path) => Err(Error::stage(format!(
            "the base backup lacks `{}`, which its manifest lists",
            path.display()
        ))
        .help(HELP)),
    }
}

const HELP: &str =
    "copy or take the backup again; `pg_verifybackup` finds all that is wrong with it";

fn damaged(path: &Path) -> Error {
    Error::stage(format!(
        "the base backup is damaged: `{}` is not as it was when it was taken",
        path.display()
    ))
    .help(HELP)
}

impl Listed {
    /// Whether these are the bytes that are listed.
    fn is(&self, mut content: impl Read, advance: &dyn Fn(u64) -> bool) -> std::io::Result<bool> {
        let mut hash = Hash::of(self.algorithm.as_deref());
        let (mut piece, mut size) = (vec![0; 1024 * 1024], 0);
        loop {
            let length = content.read(&mut piece)?;
            if length == 0 {
                break;
            }
            if !advance(length as u64) {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            size += length as u64;
            hash.update(&piece[..length]);
        }
        let same = match (hash.hex(), &self.checksum) {
            (Some(hash), Some(listed)) => hash.eq_ignore_ascii_case(listed),
            // Made with --manifest-checksums=NONE: the size is all there is.
            _ => true,
        };
        Ok(size == self.size && same)
    }
}

enum Hash {
    Crc32c(u32),
    Sha224(sha2::Sha224),
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    None,
}

impl Hash {
    fn of(algorithm: Option<&str>) -> Self {
        match algorithm {
            Some("CRC32C") => Self::Crc32c(0),
            Some("SHA224") => Self::Sha224(Digest::new()),
            Some("SHA256") => Self::Sha256(Digest::new()),
            Some("SHA384") => Self::Sha384(Digest::new()),
            Some("SHA512") => Self::Sha512(Digest::new()),
            _ => Self::None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            Self::Sha224(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha384(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
            Self::None => {}
        }
    }

    fn hex(self) -> Option<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(match self {
            // As the server has it in memory.
            Self::Crc32c(crc) => hex(&crc.to_le_bytes()),
            Self::Sha224(hash) => hex(&hash.finalize()),
            Self::Sha256(hash) => hex(&hash.finalize()),
            Self::Sha384(hash) => hex(&hash.finalize()),
            Self::Sha512(hash) => hex(&hash.finalize()),
            Self::None => return None,
        })
    }
}
