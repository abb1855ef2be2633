//! Where a clone stands: a file in the cache's `clones`, there before the clone is and gone after it.
//!
//! It holds no password, and stays locked for as long as the run that has the clone lives.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::program::GRACE;
use crate::stage::local::process::Process;
use crate::{Error, Result};

const FOLDER: &str = "clones";

/// What the file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    run_id: String,
    clone_id: String,
    /// Where the snapshot's description is, which names the program that ends it.
    folder: PathBuf,
    /// Without its password; None: none was printed yet.
    url: Option<String>,
    /// The program that makes it, or made it.
    provision: Option<Process>,
    /// True when it was left up on purpose.
    kept: bool,
}

/// A clone of a run of ours.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    file: File,
    facts: Facts,
}

impl Record {
    /// Writes down that a clone is about to be made.
    pub fn begin(cache: &Path, run_id: &str, folder: &Path) -> Result<Self> {
        let clones = cache.join(FOLDER);
        let unwritten = |error| {
            Error::stage(format!("cannot write into `{}`", clones.display()))
                .because(error)
                .help("name a cache folder that you may write to with `--cache`")
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&clones)
            .map_err(unwritten)?;
        let clone_id = format!("{run_id}-{:06x}", rand::random::<u32>() >> 8);
        let path = clones.join(format!("{clone_id}.json"));
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(unwritten)?;
        file.lock().map_err(unwritten)?;
        let mut record = Self {
            path,
            file,
            facts: Facts {
                run_id: run_id.to_owned(),
                clone_id,
                folder: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
                url: None,
                provision: None,
                kept: false,
            },
        };
        record.write()?;
        Ok(record)
    }

    pub fn id(&self) -> &str {
        &self.facts.clone_id
    }

    pub fn run_id(&self) -> &str {
        &self.facts.run_id
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn url(&self) -> Option<&str> {
        self.facts.url.as_deref()
    }

    /// Notes which process makes it.
    pub fn made_by(&mut self, pid: u32) -> Result<()> {
        self.facts.provision = Process::of(pid.cast_signed());
        self.write()
    }

    /// Notes where it is; None: what was printed is no clone.
    pub fn reached_at(&mut self, shown: Option<String>) -> Result<()> {
        self.facts.url = shown;
        self.write()
    }

    /// The clone is gone.
    pub fn discard(self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::stage(format!("cannot remove `{}`", self.path.display())).because(error))
            }
            _ => Ok(()),
        }
    }

    /// The clone stays.
    pub fn keep(mut self) {
        self.facts.kept = true;
        // Without the word `clean` takes it for abandoned: a pity, not a danger.
        let _ = self.write();
    }

    fn write(&mut self) -> Result<()> {
        let text = serde_json::to_vec(&self.facts)
            .map_err(|error| Error::defect("a clone cannot be written as JSON").because(error))?;
        self.file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(&text))
            .map_err(|error| {
                Error::stage(format!("cannot write `{}`", self.path.display())).because(error)
            })
    }
}

/// A clone whose run has ended without ending it.
#[derive(Debug)]
pub struct Left(Record);

/// Those of a cache, by their names; what a live run has is not among them.
///
/// # Errors
/// The folder cannot be read.
pub fn left(cache: &Path) -> Result<Vec<Left>> {
    let clones = cache.join(FOLDER);
    let entries = match std::fs::read_dir(&clones) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::stage(format!("cannot read `{}`", clones.display())).because(error));
        }
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let Ok(mut file) = File::options().read(true).write(true).open(&path) else {
            continue;
        };
        if file.try_lock().is_err() {
            continue;
        }
        let mut text = String::new();
        let read = file.read_to_string(&mut text).is_ok();
        match serde_json::from_str(&text) {
            Ok(facts) => found.push(Left(Record { path, file, facts })),
            // Killed before its first word: no program had run yet.
            Err(_) if read && text.is_empty() => {
                let _ = std::fs::remove_file(&path);
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

impl Left {
    /// Its name.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// The run that had it.
    pub fn run_id(&self) -> &str {
        self.0.run_id()
    }

    /// Where the description is that names its programs.
    pub fn folder(&self) -> &Path {
        &self.0.facts.folder
    }

    /// True when it was left up on purpose.
    pub fn is_kept(&self) -> bool {
        self.0.facts.kept
    }

    /// The file that says so.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Where it may still be, in words; empty: nobody knows.
    pub fn place(&self) -> &str {
        self.0.url().unwrap_or_default()
    }

    pub(super) fn into_record(self) -> Record {
        self.0
    }

    /// Ends the program that still makes it: else it would be made after it was ended.
    pub(super) async fn end_program(&self) {
        let Some(program) = &self.0.facts.provision else {
            return;
        };
        let group = Pid::from_raw(program.pid);
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if !program.is_alive() {
                return;
            }
            let _ = killpg(group, signal);
            program.ended_within(GRACE).await;
        }
    }
}
