//! A data folder on this machine: as a folder, or as the tar archives that `pg_basebackup` writes.

use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{archive, is_left_out, manifest};
use crate::stage::blocking::on_threads;
use crate::stage::whole;
use crate::stage::{Unit, Watch};
use crate::{Error, Result};

/// A data folder on this machine, whole once its pieces are laid one over the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Its pieces, in this order.
    pub pieces: Vec<Piece>,
    /// What `pg_basebackup` says is in it; None: it was not made with one.
    pub manifest: Option<PathBuf>,
    /// A folder of archived WAL, where the backup does not bring all that it needs.
    pub wal: Option<PathBuf>,
}

/// A part of a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A folder; links in it are followed, so that the copy stands by itself.
    Folder(PathBuf),
    /// A tar archive, packed or not.
    Archive {
        /// The file.
        file: PathBuf,
        /// Where it belongs in the data folder.
        to: PathBuf,
    },
}

/// A file or folder of a tar archive.
pub struct Member<'a> {
    /// Where it belongs in the data folder.
    pub path: PathBuf,
    /// Its bytes; None: it is a folder.
    pub content: Option<(u64, &'a mut dyn Read)>,
}

impl Files {
    /// What is at a path: a data folder, a folder of `pg_basebackup --format=tar`, or its one archive.
    ///
    /// # Errors
    /// It is none of them.
    pub fn find(path: &Path, wal: Option<PathBuf>) -> Result<Self> {
        let facts = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        let beside = |folder: &Path| {
            let manifest = folder.join("backup_manifest");
            manifest.is_file().then_some(manifest)
        };
        if facts.is_file() {
            return Ok(Self {
                pieces: vec![Piece::Archive {
                    file: path.to_owned(),
                    to: PathBuf::new(),
                }],
                manifest: path.parent().and_then(beside),
                wal,
            });
        }
        let pieces = if path.join("PG_VERSION").is_file() {
            vec![Piece::Folder(path.to_owned())]
        } else {
            archives(path)?
        };
        if pieces.is_empty() {
            return Err(Error::usage(format!(
                "`{}` is neither a data folder nor a base backup: it has no `PG_VERSION` and no `base.tar`",
                path.display()
            ))
            .help("name the folder that `pg_basebackup` wrote, or the data folder of a server that is stopped"));
        }
        Ok(Self {
            pieces,
            manifest: beside(path),
            wal,
        })
    }

    /// The major of the server that it is from, where a folder tells.
    pub fn major(&self) -> Option<u32> {
        let Some(Piece::Folder(folder)) = self.pieces.first() else {
            return None;
        };
        whole::text(&folder.join("PG_VERSION"), whole::DESCRIPTION)
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Refuses the folder of a server that runs: its files change while they are copied.
    pub fn refuse_running(&self) -> Result<()> {
        for piece in &self.pieces {
            let Piece::Folder(folder) = piece else {
                continue;
            };
            let file = folder.join("postmaster.pid");
            let Ok(text) = whole::text(&file, whole::DESCRIPTION) else {
                continue;
            };
            let pid = text
                .lines()
                .next()
                .and_then(|line| line.trim().parse::<i32>().ok());
            let alive = pid.is_some_and(|pid| {
                pid > 0
                    && nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None)
                        != Err(nix::errno::Errno::ESRCH)
            });
            if alive {
                return Err(Error::stage(format!(
                    "a server runs on `{}` (process {})",
                    folder.display(),
                    pid.unwrap_or_default()
                ))
                .help("stop it, or take a base backup of it with `pg_basebackup` and name that"));
            }
        }
        Ok(())
    }

    /// Compares every file with the backup's own list, where there is one; true: there is. Refuses what a
    /// server still writes to.
    pub(crate) async fn compare(&self, watch: &dyn Watch) -> Result<bool> {
        self.refuse_running()?;
        watch.measured("comparing the base backup with its manifest", Unit::Bytes);
        let Some(path) = self.manifest.clone() else {
            return Ok(false);
        };
        let files = self.clone();
        on_threads(Arc::default(), watch, self.bytes(), move |stop| {
            manifest::verify(&path, &files, &|bytes| stop.goes_on(bytes))
        })
        .await?;
        Ok(true)
    }

    /// What tells it from every other: the backup's list, else the control file, which every
    /// shutdown and checkpoint rewrites; and in any case the sizes of all files.
    pub fn identity(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut facts = Vec::new();
        let read =
            |path: &Path| whole::bytes(path, whole::SQL).map_err(|error| unreadable(path, error));
        if let Some(path) = &self.manifest {
            facts.push(("manifest".to_owned(), read(path)?));
        }
        for piece in &self.pieces {
            match piece {
                Piece::Folder(folder) => {
                    if self.manifest.is_none() {
                        facts.push((
                            "control".to_owned(),
                            read(&folder.join("global/pg_control"))?,
                        ));
                    }
                    for name in [
                        "PG_VERSION",
                        "backup_label",
                        "postgresql.conf",
                        "postgresql.auto.conf",
                    ] {
                        if let Ok(text) = whole::bytes(&folder.join(name), whole::DESCRIPTION) {
                            facts.push((name.to_owned(), text));
                        }
                    }
                }
                Piece::Archive { file, to } => {
                    let found = std::fs::metadata(file).map_err(|error| unreadable(file, error))?;
                    let written = match self.manifest {
                        Some(_) => 0,
                        None => {
                            use std::os::unix::fs::MetadataExt;
                            found.mtime()
                        }
                    };
                    facts.push((
                        format!("archive {}", to.display()),
                        format!("{} {written}", found.len()).into_bytes(),
                    ));
                }
            }
        }
        if let Some(wal) = &self.wal {
            let mut names: Vec<String> = std::fs::read_dir(wal)
                .map_err(|error| unreadable(wal, error))?
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            facts.push(("wal".to_owned(), names.join("\n").into_bytes()));
        }
        Ok(facts)
    }

    /// `postgresql.conf` and what wins over it, as far as they are in it.
    pub fn conf(&self) -> Result<String> {
        const NAMES: [&str; 2] = ["postgresql.conf", "postgresql.auto.conf"];
        let mut texts = NAMES.map(|_| String::new());
        match self.pieces.first() {
            Some(Piece::Folder(folder)) => {
                for (name, text) in NAMES.iter().zip(&mut texts) {
                    // Debian keeps it elsewhere.
                    *text = whole::text(&folder.join(name), whole::DESCRIPTION).unwrap_or_default();
                }
            }
            Some(Piece::Archive { file, to }) => Self::members(file, to, |member| {
                let at = NAMES.iter().position(|name| member.path == Path::new(name));
                if let (Some(at), Some((_, content))) = (at, member.content) {
                    texts[at] = whole::utf8(whole::of(content, whole::DESCRIPTION)?)?;
                }
                Ok(())
            })
            .map_err(|error| unreadable(file, error))?,
            None => {}
        }
        Ok(texts.join("\n"))
    }

    /// Bytes of its files and archives as they lie there.
    pub fn bytes(&self) -> u64 {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Archive { file, .. } => {
                    std::fs::metadata(file).map_or(0, |facts| facts.len())
                }
                Piece::Folder(folder) => below(folder),
            })
            .sum()
    }

    /// Visits the members of an archive that are taken.
    pub fn members(
        file: &Path,
        to: &Path,
        mut visit: impl FnMut(Member<'_>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut archive = tar::Archive::new(archive::open(file)?);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = to.join(plain(&entry.path()?)?);
            if path.as_os_str().is_empty() || is_left_out(&path) {
                continue;
            }
            let kind = entry.header().entry_type();
            if kind.is_dir() {
                visit(Member {
                    path,
                    content: None,
                })?;
            } else if kind.is_file() {
                let size = entry.size();
                visit(Member {
                    path,
                    content: Some((size, &mut entry)),
                })?;
            } else if kind.is_symlink() && path.starts_with("pg_tblspc") {
                // The tablespace has an archive of its own, and is laid in its place.
                visit(Member {
                    path,
                    content: None,
                })?;
            } else {
                return Err(std::io::Error::other(format!(
                    "`{}` is no file and no folder",
                    path.display()
                )));
            }
        }
        Ok(())
    }
}

/// `base.tar`, `pg_wal.tar` and one for each tablespace, packed or not, as `pg_basebackup` names them.
fn archives(folder: &Path) -> Result<Vec<Piece>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((stem, rest)) = name.split_once(".tar") else {
            continue;
        };
        if !["", ".gz", ".zst", ".lz4"].contains(&rest) {
            continue;
        }
        let to = match stem {
            "base" => PathBuf::new(),
            "pg_wal" => PathBuf::from("pg_wal"),
            oid if oid.bytes().all(|byte| byte.is_ascii_digit()) => {
                Path::new("pg_tblspc").join(oid)
            }
            _ => continue,
        };
        found.push((to, entry.path()));
    }
    found.sort();
    let has_base = found
        .first()
        .is_some_and(|(to, _)| to.as_os_str().is_empty());
    if !has_base {
        return Ok(Vec::new());
    }
    Ok(found
        .into_iter()
        .map(|(to, file)| Piece::Archive { file, to })
        .collect())
}

/// A path of an archive, which may not lead out of where it is unpacked.
fn plain(path: &Path) -> std::io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            _ => {
                return Err(std::io::Error::other(format!(
                    "`{}` leads out of the archive",
                    path.display()
                )));
            }
        }
    }
    Ok(plain)
}

fn below(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| match std::fs::metadata(entry.path()) {
            Ok(facts) if facts.is_dir() => below(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A file of a snapshot's source that cannot be read.
pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Error {
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
