//! A snapshot's identity: what it restores, not where it lies or what it is called.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::checksums;
use super::manifest::{Manifest, Source, Travels};
use super::memo::Memo;
use super::reading::{Content, Reading};
use crate::stage::physical::{Files, unreadable};
use crate::{Error, Result};

/// Raised when the same description restores something else than before.
const FORMAT: &str = "lockproof snapshot 2";

/// SHA-256, in hex, over all that decides what the base holds: the database, the restore options
/// that change its content, the variables, and every byte of the source. Not the name, the
/// description, the number of jobs or the reading at the start of a run.
pub(super) fn digest(
    manifest: &Manifest,
    folder: &Path,
    variables: &BTreeMap<String, String>,
    memo: &mut Memo,
    reading: &Reading,
) -> Result<String> {
    // Once for the names of the files, so that all of them are read together; once for the digest.
    let mut names = Hash::new(BTreeMap::new());
    all(manifest, folder, variables, &mut names)?;
    let contents = reading.contents(&names.missing, memo)?;
    if let Some(list) = &manifest.checksums {
        checksums::compare(&folder.join(list), &contents)?;
    }
    let mut hash = Hash::new(contents);
    all(manifest, folder, variables, &mut hash)?;
    match hash.missing.first() {
        None => Ok(hex(&hash.sum.finalize())),
        Some(file) => Err(Error::usage(format!(
            "`{}` appeared while the snapshot was read",
            file.display()
        ))
        .help("wait until the dump is complete, then run again")),
    }
}

/// Everything that decides what the base holds, in one order.
fn all(
    manifest: &Manifest,
    folder: &Path,
    variables: &BTreeMap<String, String>,
    hash: &mut Hash,
) -> Result<()> {
    hash.text(FORMAT);
    hash.text(&manifest.database);
    hash.text(&format!(
        "analyze={} owners={}",
        manifest.restore.analyze, manifest.restore.owners
    ));
    hash.number(manifest.restore.tolerate.len() as u64);
    for part in &manifest.restore.tolerate {
        hash.text(part);
    }
    hash.number(variables.len() as u64);
    for (name, value) in variables {
        hash.text(name);
        hash.text(value);
    }
    travels(&manifest.travels, hash);
    match &manifest.source {
        Source::Physical { path, wal } => {
            hash.text("physical");
            let files = Files::find(&folder.join(path), wal.as_ref().map(|wal| folder.join(wal)))?;
            for (what, bytes) in files.identity()? {
                hash.text(&what);
                hash.bytes(&bytes);
            }
        }
        // What is in it, only the engine knows: the stage's own key has that.
        Source::Image { image, path } => {
            hash.text("image");
            hash.text(image);
            hash.text(path.as_deref().unwrap_or_default());
        }
        Source::Volume { volume, path } => {
            hash.text("volume");
            hash.text(volume);
            hash.text(path);
        }
        Source::Generator { files } => {
            hash.text("generator");
            for file in files {
                hash.file(&folder.join(file));
            }
        }
        Source::Dump { file, filtered } => {
            let path = folder.join(file);
            if path.is_dir() {
                hash.text("directory");
                for file in files_of(&path)? {
                    let name = file.file_name().unwrap_or_default();
                    hash.text(&name.to_string_lossy());
                    hash.file(&file);
                }
            } else {
                hash.text("dump");
                hash.file(&path);
            }
            for part in filtered {
                hash.text("filtered");
                hash.text(&part.table);
                hash.number(part.columns.len() as u64);
                for column in &part.columns {
                    hash.text(column);
                }
                hash.file(&folder.join(&part.file));
            }
        }
        // What their servers hold is theirs to say: this tells one description from another, no more.
        Source::Hooks(hooks) => {
            hash.text("hooks");
            for word in hooks.provision.iter().chain(&hooks.teardown) {
                hash.text(word);
            }
        }
    }
    Ok(())
}

/// What of it the base holds: roles, and the settings of the database and of roles. Server settings
/// are given to each start, and the migration's role to each session.
fn travels(travels: &Travels, hash: &mut Hash) {
    let settings = |settings: &BTreeMap<String, String>, hash: &mut Hash| {
        hash.number(settings.len() as u64);
        for (name, value) in settings {
            hash.text(name);
            hash.text(value);
        }
    };
    settings(&travels.database_settings, hash);
    hash.text(travels.owner.as_deref().unwrap_or_default());
    hash.number(travels.roles.len() as u64);
    for (name, role) in &travels.roles {
        hash.text(name);
        for names in [
            role.attributes.iter().copied().collect::<Vec<&str>>(),
            role.member_of.iter().map(String::as_str).collect(),
        ] {
            hash.number(names.len() as u64);
            for name in names {
                hash.text(name);
            }
        }
        settings(&role.settings, hash);
        hash.number(role.in_database.len() as u64);
        for (database, of_database) in &role.in_database {
            hash.text(database);
            settings(of_database, hash);
        }
    }
}

/// Each part with its length, so that no two lists of parts look alike.
struct Hash {
    sum: Sha256,
    contents: BTreeMap<PathBuf, Content>,
    /// Files whose contents have to be known first.
    missing: Vec<PathBuf>,
}

impl Hash {
    fn new(contents: BTreeMap<PathBuf, Content>) -> Self {
        Self {
            sum: Sha256::new(),
            contents,
            missing: Vec::new(),
        }
    }

    fn number(&mut self, number: u64) {
        self.sum.update(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.sum.update(bytes);
    }

    fn file(&mut self, path: &Path) {
        match self.contents.get(path).cloned() {
            Some(content) => {
                self.text(&content.digest);
                self.number(content.length);
            }
            None => self.missing.push(path.to_owned()),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of a directory dump, by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
