//! Lays a copy of another server's data folder into one of ours and adopts it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::binaries::Installation;
use super::copy::{Job, copy, on_threads};
use super::folder::cannot;
use super::tree::{Links, Stop};
use super::user::Account;
use crate::stage::physical::adopt::{self, Adopted};
use crate::stage::physical::{Files, Member, Piece, archive, is_left_out, wal_name};
use crate::stage::{Fill, NetworkFacts, Request, Unit, Watch};
use crate::{Error, Result};

/// What the script of both stages expects of its surroundings.
const PRELUDE: &str = "set -eu; umask 077; bin=$1; shift; as_postgres() { exec \"$@\"; }\n";

/// Where it happens.
pub(super) struct Ground<'a> {
    pub installation: &'a Installation,
    pub account: &'a Account,
    /// Gets the folder `data`.
    pub folder: &'a Path,
}

impl Ground<'_> {
    pub async fn adopt<F: Fill>(
        &self,
        files: &Files,
        fill: &F,
        request: &Request,
        watch: &dyn Watch,
    ) -> Result<Adopted> {
        let verified = files.compare(watch).await?;
        watch.measured("copying the physical snapshot", Unit::Bytes);
        for piece in &files.pieces {
            self.lay(piece, watch).await?;
        }
        if let Some(wal) = &files.wal {
            self.lay_wal(wal, watch).await?;
        }
        watch.phase("recovering the physical snapshot");
        let conf = fill.inherits(&files.conf()?).told(watch);
        let preloaded = request
            .settings
            .iter()
            .filter(|(name, _)| name.as_str() == "shared_preload_libraries")
            .map(|(name, value)| format!("{name}={value}"));
        let output = self
            .account
            .command_in(
                Path::new("/bin/sh"),
                &NetworkFacts::on_this_machine(request.network),
                &[],
            )?
            .arg("-c")
            .arg(format!("{PRELUDE}{}", adopt::SCRIPT))
            .arg("lockproof")
            .arg(&self.installation.bin_dir)
            .arg(self.folder)
            .arg(conf)
            .args(preloaded)
            .env("LOCKPROOF_VERIFIED", if verified { "yes" } else { "no" })
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| cannot("start", Path::new("/bin/sh"), error))?;
        let lines = |bytes: &[u8]| -> Vec<String> {
            String::from_utf8_lossy(bytes)
                .lines()
                .map(str::to_owned)
                .collect()
        };
        if !output.status.success() {
            return Err(adopt::failed(
                output.status.code().map(i64::from),
                &lines(&output.stderr),
            ));
        }
        adopt::adopted(&lines(&output.stdout), &request.database)
    }

    async fn lay(&self, piece: &Piece, watch: &dyn Watch) -> Result<()> {
        let data = self.folder.join("data");
        match piece {
            Piece::Folder(from) => {
                let job = Job {
                    from: from.clone(),
                    to: data,
                    account: self.account.clone(),
                    links: Links::Follow,
                    left_out: is_left_out,
                    listing: None,
                };
                copy(job, watch).await.map(drop)
            }
            Piece::Archive { file, to } => {
                let (file, to, account) = (file.clone(), to.clone(), self.account.clone());
                let total = std::fs::metadata(&file).map_or(0, |facts| facts.len());
                on_threads(Arc::new(Stop::default()), watch, total, move |stop| {
                    unpack(&file, &to, &data, &account, stop)
                })
                .await
            }
        }
    }

    /// Archived WAL, unpacked, for the server's account to read.
    async fn lay_wal(&self, from: &Path, watch: &dyn Watch) -> Result<()> {
        let (from, to, account) = (
            from.to_owned(),
            self.folder.join("wal"),
            self.account.clone(),
        );
        on_threads(Arc::new(Stop::default()), watch, 0, move |stop| {
            make_folder(&to, &account)?;
            let entries = std::fs::read_dir(&from).map_err(|error| cannot("read", &from, error))?;
            for entry in entries.flatten().filter(|_| !stop.is_asked()) {
                let path = entry.path();
                let Some(name) = wal_name(&path) else {
                    continue;
                };
                let target = to.join(name);
                archive::open(&path)
                    .and_then(|mut source| write(&mut source, &target, stop))
                    .map_err(|error| cannot("copy", &path, error))?;
                account.own(&target)?;
            }
            Ok(())
        })
        .await
    }
}

fn unpack(file: &Path, to: &Path, data: &Path, account: &Account, stop: &Stop) -> Result<()> {
    if !data.is_dir() {
        make_folder(data, account)?;
    }
    let mut wrong = None;
    Files::members(file, to, |Member { path, content }| {
        let target = data.join(&path);
        let made = (|| {
            for folder in missing_parents(&target, data) {
                make_folder(&folder, account)?;
            }
            match content {
                None if target.is_dir() => Ok(()),
                None => make_folder(&target, account),
                Some((_, source)) => {
                    write(source, &target, stop)
                        .map_err(|error| cannot("write", &target, error))?;
                    account.own(&target)
                }
            }
        })();
        made.map_err(|error| {
            wrong = Some(error);
            std::io::Error::other("")
        })
    })
    .map_err(|error| {
        wrong.take().unwrap_or_else(|| {
            Error::stage(format!(
                "the archive `{}` cannot be unpacked to its end",
                file.display()
            ))
            .because(error)
            .help("copy or take it again, and compare its size with the original's")
        })
    })
}

/// The folders above a file that are not there yet, the outermost first.
fn missing_parents(target: &Path, data: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = target
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(data) && !folder.is_dir())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

fn make_folder(path: &Path, account: &Account) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|error| cannot("create", path, error))?;
    account.own(path)
}

fn write(source: &mut dyn std::io::Read, target: &Path, stop: &Stop) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(target)?;
    let mut piece = vec![0; super::listing::PIECE];
    loop {
        let length = source.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        if stop.is_asked() {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        file.write_all(&piece[..length])?;
        stop.add(length as u64);
    }
}
