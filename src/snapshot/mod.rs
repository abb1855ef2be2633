//! A snapshot: where its data comes from, what identifies it, and how it gets into a database.
//!
//! It knows nothing of containers or server programs: a stage's `prepare` calls it through `Fill`.

mod apply;
mod checksums;
mod collation;
mod complaints;
mod course;
pub mod create;
mod database;
mod detect;
mod digest;
mod dumped;
mod facts;
mod fill;
mod filtered;
mod follow;
mod found;
mod generate;
pub mod globals;
mod hooks;
mod inherited;
pub mod manifest;
mod memo;
mod needs;
mod pattern;
mod plain;
mod publisher;
mod publishers;
mod reaches;
mod reading;
mod restore;
mod restrict;
mod roles;
mod script;
mod sizes;
mod subscriptions;
mod tangled;
mod toc;
mod tolerated;
mod underway;
mod watched;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use database::database;
pub use facts::{tables, warm};
pub use filtered::Filtered;
pub use found::remembered;
pub use manifest::{Manifest, Partial, Restore, Source, Travels};
pub use pattern::Pattern;
pub use reaches::{reaches, woken};

use self::memo::Memo;
use self::reading::Reading;
use crate::clock::wall;
use crate::config::suggest::nearest;
use crate::stage::physical::Files;
use crate::stage::{Origin, Unit, Watch};
use crate::{Error, Result};

/// How often the reading of a source is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Less is read within the second in which nobody asks.
const WORTH_TELLING: u64 = 256 << 20;

/// Tells a reading, when it is dropped, that nobody waits for it any more.
struct GivenUp(Arc<Reading>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

/// A snapshot, ready to be restored.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its description.
    pub manifest: Manifest,
    /// The folder that the source's paths are relative to.
    pub folder: PathBuf,
    /// The variables with the values of this run.
    pub variables: BTreeMap<String, String>,
    /// What it restores, in 64 hex digits: for `Request::base_digest`.
    pub digest: String,
}

impl Snapshot {
    /// Reads a description (the file, or its folder) and its source once for the digest.
    ///
    /// `overrides` replace the values of variables that the description has.
    pub fn load(path: &Path, overrides: &BTreeMap<String, String>) -> Result<Self> {
        Self::load_by(path, overrides, Memo::none(), &Reading::default())
    }

    /// As [`load`](Self::load), in a moment when the source was read before: `cache` keeps the digests
    /// of large files. Tells how far it is, and ends soon after its future is dropped.
    pub async fn load_watched(
        path: &Path,
        overrides: &BTreeMap<String, String>,
        cache: &Path,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let reading = GivenUp(Arc::default());
        let work = {
            let (path, overrides, cache) = (path.to_owned(), overrides.clone(), cache.to_owned());
            let reading = Arc::clone(&reading.0);
            tokio::task::spawn_blocking(move || {
                let memo = Memo::of(&cache, wall().as_second());
                Self::load_by(&path, &overrides, memo, &reading)
            })
        };
        tokio::pin!(work);
        let mut tick = tokio::time::interval(TICK);
        let mut told = false;
        loop {
            tokio::select! {
                loaded = &mut work => {
                    return loaded
                        .map_err(|error| Error::defect("reading the snapshot broke off").because(error))?;
                }
                _ = tick.tick() => {}
            }
            let total = reading.0.total.load(Ordering::Relaxed);
            if total < WORTH_TELLING {
                continue;
            }
            if !told {
                told = true;
                watch.measured(
                    "reading the snapshot's files, to know whether they were restored before",
                    Unit::Bytes,
                );
            }
            watch.advance(reading.0.done.load(Ordering::Relaxed), Some(total));
        }
    }

    fn load_by(
        path: &Path,
        overrides: &BTreeMap<String, String>,
        mut memo: Memo,
        reading: &Reading,
    ) -> Result<Self> {
        let (manifest, folder) = Manifest::load(path)?;
        let mut variables = manifest.variables.clone();
        for (name, value) in overrides {
            if !variables.contains_key(name) {
                return Err(unknown_variable(&manifest, name));
            }
            variables.insert(name.clone(), value.clone());
        }
        let digest = digest::digest(&manifest, &folder, &variables, &mut memo, reading)?;
        memo.keep();
        if let Source::Dump { file, filtered } = &manifest.source {
            // Before a server is made for it.
            let format = detect::detect(&folder.join(file))?;
            filtered::refuse(filtered, format)?;
        }
        if let Source::Hooks(hooks) = &manifest.source {
            hooks::refuse_missing(hooks, &folder)?;
        }
        Ok(Self {
            manifest,
            folder,
            variables,
            digest,
        })
    }
}

impl Snapshot {
    /// What its data folder begins as.
    pub fn origin(&self) -> Result<Origin> {
        Ok(match &self.manifest.source {
            Source::Generator { .. } | Source::Dump { .. } | Source::Hooks(_) => Origin::New,
            Source::Physical { path, wal } => {
                let wal = wal.as_ref().map(|wal| self.folder.join(wal));
                Origin::Files(Files::find(&self.folder.join(path), wal)?)
            }
            Source::Image { image, path } => Origin::Image {
                image: image.clone(),
                path: path.clone(),
            },
            Source::Volume { volume, path } => Origin::Volume {
                volume: volume.clone(),
                path: path.clone(),
            },
        })
    }

    /// The major that the data is from; None: any will do, or only the engine knows.
    pub fn major(&self) -> Option<u32> {
        self.manifest
            .server_version
            .or_else(|| match self.origin() {
                Ok(Origin::Files(files)) => files.major(),
                _ => None,
            })
    }
}

fn unknown_variable(manifest: &Manifest, name: &str) -> Error {
    let known: Vec<&str> = manifest.variables.keys().map(String::as_str).collect();
    let error = Error::usage(format!(
        "the snapshot `{}` has no variable `{name}`",
        manifest.name
    ));
    if known.is_empty() {
        return error.help("it has none at all; they stand in `[variables]` of `snapshot.toml`");
    }
    let meant = nearest(name, known.iter().copied())
        .map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
    error.help(format!("{meant}it has `{}`", known.join("`, `")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).expect("written");
    }

    fn generator(folder: &Path) {
        write(
            folder,
            "snapshot.toml",
            "name='a'\n[source]\nkind='generator'\nfiles=['one.sql','two.sql']\n[variables]\nrows=10\n",
        );
        write(folder, "one.sql", "SELECT ${rows};");
        write(folder, "two.sql", "SELECT 2;");
    }

    fn digest(folder: &Path, overrides: &[(&str, &str)]) -> String {
        let overrides = overrides
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Snapshot::load(folder, &overrides)
            .expect("a snapshot")
            .digest
    }

    #[test]
    fn the_digest_follows_the_content_and_not_the_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        generator(path);
        let first = digest(path, &[]);
        assert_eq!(first.len(), 64);
        assert_eq!(first, digest(&path.join("snapshot.toml"), &[]));
        assert_eq!(first, digest(path, &[("rows", "10")]));
        assert_ne!(first, digest(path, &[("rows", "11")]));

        let text = std::fs::read_to_string(path.join("snapshot.toml")).expect("read");
        write(
            path,
            "snapshot.toml",
            &format!("description='words'\n{text}[restore]\njobs=1\n"),
        );
        assert_eq!(first, digest(path, &[]));
        write(
            path,
            "snapshot.toml",
            &format!("{text}[restore]\nanalyze=false\n"),
        );
        assert_ne!(first, digest(path, &[]));
        write(path, "snapshot.toml", &text);

        // The same bytes, cut elsewhere.
        write(path, "one.sql", "SELECT ${rows};S");
        write(path, "two.sql", "ELECT 2;");
        assert_ne!(first, digest(path, &[]));
    }

    #[test]
    fn the_digest_follows_what_travels_into_the_base_and_nothing_else_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        generator(path);
        let text = std::fs::read_to_string(path.join("snapshot.toml")).expect("read");
        let with = |keys: &str, tables: &str| {
            write(path, "snapshot.toml", &format!("{keys}\n{text}{tables}\n"));
            digest(path, &[])
        };
        let bare = with("", "");
        // Given to each start or each session, or only told.
        assert_eq!(
            bare,
            with("role='a'\nmax_age='3d'", "[settings]\nwork_mem='1MB'")
        );
        assert_eq!(bare, with("partial=[{table='a',excluded=true}]", ""));
        let mut seen = std::collections::BTreeSet::from([bare]);
        for (keys, tables) in [
            ("owner='a'", ""),
            ("", "[database_settings]\nTimeZone='UTC'"),
            ("", "[database_settings]\nTimeZone='Asia/Tokyo'"),
            ("", "[roles.a]"),
            ("", "[roles.a]\nmember_of=['b']"),
            ("", "[roles.a]\nsettings={work_mem='1MB'}"),
        ] {
            assert!(seen.insert(with(keys, tables)), "{keys}{tables}");
        }
    }

    #[test]
    fn a_directory_dump_is_known_by_all_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        write(
            path,
            "snapshot.toml",
            "name='a'\nsource={kind='dump',file='d'}",
        );
        std::fs::create_dir(path.join("d")).expect("created");
        write(path, "d/toc.dat", "x"); // Looked for, not into.
        let first = digest(path, &[]);
        write(path, "d/1.dat.gz", "y");
        let second = digest(path, &[]);
        assert_ne!(first, second);
        std::fs::rename(path.join("d/1.dat.gz"), path.join("d/2.dat.gz")).expect("renamed");
        assert_ne!(second, digest(path, &[]));
    }

    #[test]
    fn unknown_variables_and_missing_files_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let story = Snapshot::load(path, &BTreeMap::new())
            .expect_err("nothing there")
            .story();
        assert!(
            story.contains("snapshot.toml") && story.contains("--snapshot"),
            "{story}"
        );
        generator(path);
        let story = Snapshot::load(path, &[("row".into(), "1".into())].into())
            .expect_err("unknown")
            .story();
        assert!(story.contains("no variable `row`") && story.contains("did you mean `rows`?"));
        std::fs::remove_file(path.join("two.sql")).expect("removed");
        let story = Snapshot::load(path, &BTreeMap::new())
            .expect_err("missing")
            .story();
        assert!(story.contains("two.sql") && story.contains("relative to the folder"));
    }
}
