//! A snapshot's identity: what it restores, not where it lies or what it is called.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::{Manifest, Source};
use crate::{Error, Result};

/// Raised when the same description restores something else than before.
const FORMAT: &str = "lockproof snapshot 1";

/// SHA-256, in hex, over all that decides what the base holds: the database, the restore options
/// that change its content, the variables, and every byte of the source. Not the name, the
/// description, the number of jobs or the reading at the start of a run.
pub(super) fn digest(
    manifest: &Manifest,
    folder: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<String> {
    let mut hash = Hash(Sha256::new());
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
    match &manifest.source {
        Source::Generator { files } => {
            hash.text("generator");
            for file in files {
                hash.file(&folder.join(file))?;
            }
        }
        Source::Dump { file, filtered } => {
            let path = folder.join(file);
            if path.is_dir() {
                hash.text("directory");
                for file in files_of(&path)? {
                    let name = file.file_name().unwrap_or_default();
                    hash.text(&name.to_string_lossy());
                    hash.file(&file)?;
                }
            } else {
                hash.text("dump");
                hash.file(&path)?;
            }
            for part in filtered {
                hash.text("filtered");
                hash.text(&part.table);
                hash.number(part.columns.len() as u64);
                for column in &part.columns {
                    hash.text(column);
                }
                hash.file(&folder.join(&part.file))?;
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
    Ok(hash
        .0
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Each part with its length, so that no two lists of parts look alike.
struct Hash(Sha256);

impl Hash {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
        let mut buffer = vec![0; 1024 * 1024];
        let mut length = 0;
        loop {
            let read = file
                .read(&mut buffer)
                .map_err(|error| unreadable(path, error))?;
            if read == 0 {
                break;
            }
            length += read as u64;
            self.0.update(&buffer[..read]);
        }
        self.number(length);
        Ok(())
    }
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

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let problem = Error::usage(format!(
        "cannot read `{}`, which the snapshot is made from",
        path.display()
    ))
    .because(error);
    if missing {
        problem.help("the names in `[source]` are relative to the folder of `snapshot.toml`")
    } else {
        problem
    }
}
