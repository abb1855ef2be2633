//! The cache of restored data folders: each made once, whole or not at all, and only ever copied.
//!
//! `<cache>/bases/<key>/{data,base.json}`, built in `.building-<key>-<run>` next to it and renamed
//! when it is complete and on the disk. `<cache>/locks/<key>.lock` is held exclusively by a builder
//! or a remover, shared by whoever uses the base.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::binaries::Installation;
use super::copy::{Job, Made, copy, on_threads};
use super::folder::{Folder, cannot, remove};
use super::listing::Listing;
use super::server::{Launch, Listen, Server, free_port};
use super::spare::Spare;
use super::tools::LocalTools;
use super::tree::{Links, Stop};
use super::user::Account;
use super::{adopt, disk, shelf, sweep};
use crate::stage::admin::{Admin, SUPERUSER};
use crate::stage::connect::{connect, quoted};
use crate::stage::{Fill, Origin, Request, Unit, Watch, contents, shaping};
use crate::{Error, Result};

/// Raised when bases are made in a way that older ones were not.
const FORMAT: u32 = 2;
pub(super) const MARKER: &str = "base.json";
const BUILDING: &str = ".building-";
/// A large restore's last checkpoint writes everything that is still in memory.
const STOP_WITHIN: Duration = Duration::from_secs(1800);

/// What makes a restore fast, and is gone before the base is used: until then nothing is worth
/// keeping. No autovacuum, since `Fill` vacuums by itself; no restart after a crash, so that the
/// crash is seen. Segments are not recycled: with `max_wal_size` this large a base would carry
/// gigabytes of them into each copy.
const FILL_SETTINGS: [(&str, &str); 12] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("archive_mode", "off"),
    ("max_wal_size", "4GB"),
    ("wal_recycle", "off"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
    ("restart_after_crash", "off"),
    ("shared_buffers", "256MB"),
    ("maintenance_work_mem", "256MB"),
];

/// What `base.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    format: u32,
    pub key: String,
    pub base_digest: String,
    pub database: String,
    pub server_version: String,
    pub bytes: u64,
    pub superuser: String,
    // Not in bases of lockproof 0.1.0.
    #[serde(default)]
    pub snapshot: Option<String>,
    #[serde(default)]
    pub rows: Option<u64>,
    #[serde(default)]
    pub made_at: Option<jiff::Timestamp>,
    #[serde(default)]
    pub made_by: Option<String>,
}

/// A restored data folder of the cache. While this value lives, nobody removes the folder.
#[derive(Debug)]
pub struct Base {
    folder: PathBuf,
    marker: Marker,
    reused: bool,
    pub(super) request: Request,
    pub(super) installation: Installation,
    pub(super) account: Account,
    in_use: File,
}

impl Base {
    /// Its name in the cache.
    pub fn key(&self) -> &str {
        &self.marker.key
    }

    /// The full version of the server that it is for, such as `15.20`.
    pub fn server_version(&self) -> &str {
        &self.marker.server_version
    }

    /// The size of its files.
    pub fn bytes(&self) -> u64 {
        self.marker.bytes
    }

    pub(super) fn admin(&self) -> Admin {
        Admin {
            superuser: self.marker.superuser.clone(),
            // Another server's cluster need not have the one that `initdb` makes.
            database: self.marker.database.clone(),
        }
    }

    /// True when it was there already and nothing was restored.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// The data folder that clones are copied from.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where the last run's clone may be.
    pub(super) fn spare(&self) -> Spare {
        Spare::of(&self.folder)
    }

    /// Nobody removes the folder while this is open either.
    pub(super) fn also_in_use(&self) -> Result<File> {
        self.in_use
            .try_clone()
            .map_err(|error| cannot("open the lock of", &self.folder, error))
    }

    /// Clones its data, and sees on the way that they are what they were when it was made.
    pub(super) async fn clone_into(&self, to: &Path, watch: &dyn Watch) -> Result<Made> {
        let listing = Listing::read(&self.folder).ok_or_else(|| {
            Error::stage(format!(
                "the restored snapshot `{}` has no list of its files any more",
                self.folder.display()
            ))
        });
        let job = |listing| Job {
            from: self.data(),
            to: to.to_owned(),
            account: self.account.clone(),
            links: Links::Refuse,
            left_out: |_| false,
            listing: Some(listing),
        };
        let cloned = match listing {
            Ok(listing) => copy(job(listing), watch).await,
            Err(error) => Err(error),
        };
        cloned.map_err(|error| {
            error.or_help(format!(
                "`lockproof snapshot rm {}` removes it, and the next run restores it anew",
                self.key()
            ))
        })
    }
}

/// The key of a building folder's name.
pub(super) fn building_key(name: &str) -> Option<&str> {
    Some(name.strip_prefix(BUILDING)?.split_once('-')?.0)
}

/// True for a folder that is a whole base.
pub(super) fn is_whole(folder: &Path) -> bool {
    read_marker(folder).is_some()
}

/// The lock of a key, open.
pub(super) fn lock_file(cache: &Path, key: &str) -> Result<File> {
    let path = cache.join("locks").join(format!("{key}.lock"));
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| {
            cannot("open", &path, error)
                .help("choose a cache folder that you may write with `--cache`")
        })
}

/// The base for a request: from the cache, or made now; waits for whoever makes it already.
pub(super) async fn prepare<F: Fill>(
    installation: &Installation,
    account: &Account,
    cache: &Path,
    request: &Request,
    fill: &F,
    watch: &dyn Watch,
) -> Result<Base> {
    let key = key(request, &installation.version);
    let folder = cache.join("bases").join(&key);
    let lock = lock_file(cache, &key)?;
    let mut reused = true;
    let mut turns = 0_u64;
    loop {
        // Shared first: many may use a base at once.
        if try_lock(&lock, false)? {
            if let Some(marker) = read_marker(&folder) {
                shelf::note_use(&lock);
                return Ok(Base {
                    folder,
                    marker,
                    reused,
                    request: request.clone(),
                    installation: installation.clone(),
                    account: account.clone(),
                    in_use: lock,
                });
            }
            lock.unlock()
                .map_err(|error| cannot("unlock", &folder, error))?;
            if try_lock(&lock, true)? {
                if read_marker(&folder).is_none() {
                    remove(&folder)?;
                    build(installation, account, cache, &key, request, fill, watch).await?;
                    reused = false;
                }
                // From exclusive to shared there is a gap: the loop looks again.
                lock.unlock()
                    .map_err(|error| cannot("unlock", &folder, error))?;
                continue;
            }
        }
        // Not at the first: whoever lists the cache holds each lock for an instant.
        turns += 1;
        if turns == 2 {
            watch.note("another run is restoring the same snapshot: waiting for it");
            watch.phase("waiting for the base that another run restores");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn try_lock(file: &File, exclusive: bool) -> Result<bool> {
    let outcome = if exclusive {
        file.try_lock()
    } else {
        file.try_lock_shared()
    };
    match outcome {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(Error::stage("cannot lock a file of the cache")
                .because(error)
                .help("choose a folder on a local disk with `--cache`"))
        }
    }
}

fn key(request: &Request, version: &str) -> String {
    let mut hash = Sha256::new();
    for part in [
        &FORMAT.to_string(),
        &request.base_digest,
        &request.database,
        version,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    for (name, value) in shaping::shaping(&request.settings) {
        hash.update(format!("{name}={value}\0"));
    }
    let digest: String = hash
        .finalize()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // No `-`: the name of a building folder is split there.
    format!("pg{}_{digest}", version.replace('-', "_"))
}

pub(super) fn read_marker(folder: &Path) -> Option<Marker> {
    let text = std::fs::read(folder.join(MARKER)).ok()?;
    let marker: Marker = serde_json::from_slice(&text).ok()?;
    (marker.format == FORMAT && folder.join("data").is_dir()).then_some(marker)
}

/// Makes a base; the caller holds its lock exclusively.
async fn build<F: Fill>(
    installation: &Installation,
    account: &Account,
    cache: &Path,
    key: &str,
    request: &Request,
    fill: &F,
    watch: &dyn Watch,
) -> Result<()> {
    let bases = cache.join("bases");
    sweep::building(&bases, Some(key)).await?;
    let path = bases.join(format!("{BUILDING}{key}-{}", request.run_id));
    let mut folder = Folder::create(cache, &path, account)
        .await?
        .ok_or_else(|| Error::defect(format!("`{}` was just removed", path.display())))?;
    let outcome = build_in(&mut folder, installation, account, request, fill, watch).await;
    let (admin, rows) = match outcome {
        Ok(made) => made,
        Err(error) => {
            let log = super::server::tail(&folder.log(), 200);
            let error = disk::explain(error, cache, &log);
            // Its own failure would only hide the first one; `clean` tries again.
            let _ = folder.remove();
            return Err(error);
        }
    };
    watch.measured("taking down what was restored", Unit::Bytes);
    let (data, bytes) = (folder.data(), disk::used(&folder.data()));
    let listing = on_threads(Arc::new(Stop::default()), watch, bytes, move |stop| {
        Listing::make(&data, stop)
    })
    .await?;
    listing.write(folder.path())?;
    let marker = Marker {
        format: FORMAT,
        key: key.to_owned(),
        base_digest: request.base_digest.clone(),
        database: request.database.clone(),
        server_version: installation.version.clone(),
        bytes,
        superuser: admin.superuser,
        snapshot: fill.name().map(str::to_owned),
        rows,
        made_at: Some(crate::clock::wall()),
        made_by: Some(env!("CARGO_PKG_VERSION").to_owned()),
    };
    publish(folder, &bases.join(key), &marker).map_err(|error| disk::explain(error, cache, &[]))
}

async fn build_in<F: Fill>(
    folder: &mut Folder,
    installation: &Installation,
    account: &Account,
    request: &Request,
    fill: &F,
    watch: &dyn Watch,
) -> Result<(Admin, Option<u64>)> {
    let origin = fill.origin()?;
    let admin = match &origin {
        Origin::New => {
            watch.phase("making a database cluster");
            init(installation, account, &folder.data()).await?;
            Admin::ours()
        }
        Origin::Files(files) => {
            let ground = adopt::Ground {
                installation,
                account,
                folder: folder.path(),
            };
            let adopted = ground.adopt(files, fill, request, watch).await?;
            Admin {
                superuser: adopted.superuser,
                database: request.database.clone(),
            }
        }
        Origin::Image { .. } | Origin::Volume { .. } => {
            return Err(Error::defect(
                "a local server was to reach into the container engine",
            ));
        }
    };

    // A library that the snapshot's objects need is needed by their restore; a time limit is not.
    let mut settings = vec![("timezone".to_owned(), "UTC".to_owned())];
    settings.extend(shaping::filling(&request.settings));
    settings.extend(
        FILL_SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let launch = Launch {
        installation,
        account,
        listen: Listen::SocketOnly,
        admin: &admin,
        settings,
    };
    let mut server = Server::launch(&launch, folder, free_port).await?;
    let tools = LocalTools {
        installation: installation.clone(),
        account: account.clone(),
        placed: folder.path().join("placed"),
    };
    let filled = async {
        if origin == Origin::New {
            create_database(&server, &request.database).await?;
        }
        let endpoint = server.endpoint(&request.database);
        fill.fill(&endpoint, &tools, watch).await?;
        Ok(contents::rows(&endpoint).await)
    }
    .await;
    let rows = match filled {
        Ok(rows) => rows,
        Err(error) => {
            let lost = server.ends_soon().await.is_some();
            let error = if lost {
                server
                    .lost("the server was lost while the snapshot was restored")
                    .because(error)
            } else {
                error
            };
            server.kill().await;
            return Err(error);
        }
    };
    watch.phase("writing the restored data to the disk");
    checkpoint(&server).await?;
    watch.phase("shutting the restored server down");
    server.stop(STOP_WITHIN).await?;
    watch.phase("starting the restored server once as it will be used");
    settle(installation, account, &admin, folder).await?;
    watch.phase("syncing the restored data to the disk");
    sync(installation, account, &folder.data()).await?;
    Ok((admin, rows))
}

/// Makes the cluster: UTF-8, and the one locale that sorts alike on every machine.
async fn init(installation: &Installation, account: &Account, data: &Path) -> Result<()> {
    let mut failure = None;
    for locale in ["C.UTF-8", "C"] {
        let output = account
            .command(&installation.program("initdb"))
            .arg("-D")
            .arg(data)
            .args([
                "--no-sync",
                "--encoding=UTF8",
                "--lc-messages=C",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--username",
                SUPERUSER,
            ])
            .arg(format!("--locale={locale}"))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| cannot("start", &installation.program("initdb"), error))?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let locale_is_missing = words.contains("locale");
        failure = Some(Error::stage("`initdb` failed").details(words.lines().map(str::to_owned)));
        if !locale_is_missing {
            break;
        }
        remove(data)?;
    }
    Err(failure.unwrap_or_else(|| Error::defect("no locale to try")))
}

async fn create_database(server: &Server, name: &str) -> Result<()> {
    // `initdb` made this one.
    if name == "postgres" {
        return Ok(());
    }
    connect(&server.admin(), "lockproof restore")
        .await?
        .batch_execute(&format!(
            "CREATE DATABASE {} TEMPLATE template0",
            quoted(name)
        ))
        .await
        .map_err(|error| {
            Error::stage(format!("cannot create the database `{name}`")).because(error)
        })
}

async fn checkpoint(server: &Server) -> Result<()> {
    connect(&server.admin(), "lockproof restore")
        .await?
        .batch_execute("CHECKPOINT")
        .await
        .map_err(|error| {
            server
                .lost("the last checkpoint of the restore failed")
                .because(error)
        })
}

/// Starts it once as it will be used, and gives it a few spare WAL segments.
///
/// A server long in use writes into recycled segments. Without them the first statements of a
/// migration would pay for making and syncing 16 MB files, some of them under their locks.
async fn settle(
    installation: &Installation,
    account: &Account,
    admin: &Admin,
    folder: &mut Folder,
) -> Result<()> {
    let launch = Launch {
        installation,
        account,
        listen: Listen::SocketOnly,
        admin,
        settings: vec![("autovacuum".into(), "off".into())],
    };
    let mut server = Server::launch(&launch, folder, free_port).await?;
    let client = connect(&server.admin(), "lockproof restore").await?;
    let mut turns = String::new();
    for _ in 0..4 {
        turns.push_str(
            "SELECT pg_logical_emit_message(false, 'lockproof', ''); SELECT pg_switch_wal();",
        );
    }
    let turned = async {
        client.batch_execute(&turns).await?;
        client.batch_execute("CHECKPOINT").await
    }
    .await;
    if let Err(error) = turned {
        let error = server
            .lost("the restored server does not work")
            .because(error);
        server.kill().await;
        return Err(error);
    }
    server.stop(STOP_WITHIN).await
}

/// Waits until a data folder is on the disk: by one call where there is one, since a sync of each
/// of some thousand small files takes several times as long.
#[cfg(target_os = "linux")]
pub(super) async fn sync(_: &Installation, _: &Account, data: &Path) -> Result<()> {
    let data = data.to_owned();
    tokio::task::spawn_blocking(move || {
        let folder = File::open(&data).map_err(|error| cannot("open", &data, error))?;
        nix::unistd::syncfs(folder).map_err(|error| cannot("sync", &data, error))
    })
    .await
    .map_err(|error| Error::defect("syncing a folder broke off").because(error))?
}

/// Waits until a data folder is on the disk.
#[cfg(not(target_os = "linux"))]
pub(super) async fn sync(
    installation: &Installation,
    account: &Account,
    data: &Path,
) -> Result<()> {
    let output = account
        .command(&installation.program("initdb"))
        .arg("--sync-only")
        .arg("-D")
        .arg(data)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| cannot("start", &installation.program("initdb"), error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::stage(format!("cannot sync `{}`", data.display()))
        .details(String::from_utf8_lossy(&output.stderr).lines()))
}

/// Turns a building folder into a base: everything on the disk, then one rename.
fn publish(folder: Folder, base: &Path, marker: &Marker) -> Result<()> {
    let path = folder.path();
    // No server needs them any more; behind the rename nobody would look for them.
    remove(folder.sockets())?;
    for rest in ["placed", "server.log"] {
        let rest = path.join(rest);
        let _ = std::fs::remove_dir_all(&rest).or_else(|_| std::fs::remove_file(&rest));
    }
    let text = serde_json::to_vec_pretty(marker)
        .map_err(|error| Error::defect("a base cannot be described as JSON").because(error))?;
    let file = path.join(MARKER);
    std::fs::write(&file, text)
        .and_then(|()| File::open(&file)?.sync_all())
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(|error| cannot("write", &file, error))?;
    std::fs::rename(path, base).map_err(|error| cannot("rename", path, error))?;
    if let Some(bases) = base.parent() {
        File::open(bases)
            .and_then(|bases| bases.sync_all())
            .map_err(|error| cannot("sync", bases, error))?;
    }
    // Of the folder only the owner's file is left.
    let _ = std::fs::remove_file(base.join("owner.json"));
    folder.remove()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_all_that_the_base_holds() {
        let request = Request {
            run_id: "r-1".into(),
            settings: [("work_mem".to_owned(), "1MB".to_owned())].into(),
            database: "app".into(),
            base_digest: "abc".into(),
            server_major: None,
            cache: PathBuf::new(),
        };
        let one = key(&request, "15.20");
        assert!(one.starts_with("pg15.20_") && !one.contains('-'));
        assert_ne!(one, key(&request, "15.21"));
        let other = Request {
            database: "app2".into(),
            ..request.clone()
        };
        assert_ne!(one, key(&other, "15.20"));
        let mut other = request.clone();
        other.settings.insert("work_mem".into(), "2MB".into());
        assert_eq!(one, key(&other, "15.20"));
        let compression = ("default_toast_compression", "lz4");
        other
            .settings
            .insert(compression.0.into(), compression.1.into());
        assert_ne!(one, key(&other, "15.20"));
        let name = format!("{BUILDING}{one}-{}", request.run_id);
        assert_eq!(building_key(&name), Some(one.as_str()));
    }
}
