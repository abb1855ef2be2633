//! The making of a base: a cluster, filled, shut down, listed, and published in one rename.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::binaries::Installation;
use super::copy::on_threads;
use super::folder::{Folder, cannot, remove};
use super::listing::Listing;
use super::marker::{FORMAT, MARKER, Marker};
use super::server::{Launch, Listen, Server, free_port};
use super::tools::LocalTools;
use super::tree::Stop;
use super::user::Account;
use super::{adopt, disk, sweep};
use crate::stage::admin::{Admin, SUPERUSER};
use crate::stage::connect::{connect, quoted};
use crate::stage::{Fill, NetworkFacts, Origin, Request, Unit, Watch, contents, shaping};
use crate::{Error, Result};

const BUILDING: &str = ".building-";
/// A large restore's last checkpoint writes everything that is still in memory.
const STOP_WITHIN: Duration = Duration::from_secs(1800);

/// What makes a restore fast, and is gone before the base is used: until then nothing is worth
/// keeping. No autovacuum, since `Fill` vacuums by itself; no restart after a crash, so that the
/// crash is seen. Segments are not recycled: with `max_wal_size` this large a base would carry
/// gigabytes of them into each copy.
const FILL_SETTINGS: [(&str, &str); 13] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    // No subscription of a dump is followed.
    ("max_logical_replication_workers", "0"),
    ("archive_mode", "off"),
    ("max_wal_size", "4GB"),
    ("wal_recycle", "off"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
    ("restart_after_crash", "off"),
    ("shared_buffers", "256MB"),
    ("maintenance_work_mem", "256MB"),
];

/// The key of a building folder's name.
pub(super) fn building_key(name: &str) -> Option<&str> {
    Some(name.strip_prefix(BUILDING)?.split_once('-')?.0)
}

/// Makes a base; the caller holds its lock exclusively.
pub(super) async fn build<F: Fill>(
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
        network: NetworkFacts::on_this_machine(request.network),
        settings,
    };
    let mut server = Server::launch(&launch, folder, free_port).await?;
    let tools = LocalTools {
        installation: installation.clone(),
        account: account.clone(),
        placed: folder.path().join("placed"),
        network: launch.network.clone(),
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
    settle(&launch, folder).await?;
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
async fn settle(restored: &Launch<'_>, folder: &mut Folder) -> Result<()> {
    let launch = Launch {
        settings: vec![("autovacuum".into(), "off".into())],
        network: restored.network.clone(),
        ..*restored
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
    use super::super::marker::key;
    use super::*;

    #[test]
    fn a_building_folder_names_its_key() {
        let request = Request {
            run_id: "r-1".into(),
            settings: [].into(),
            database: "app".into(),
            base_digest: "abc".into(),
            server_major: None,
            cache: "".into(),
            network: Default::default(),
        };
        let key = key(&request, "15.20-1");
        let name = format!("{BUILDING}{key}-{}", request.run_id);
        assert_eq!(building_key(&name), Some(key.as_str()));
    }
}
