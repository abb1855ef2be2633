//! A base: a volume with a restored data folder, made once, cloned by every run.
//!
//! Whether it is complete is told by a file inside, written last: labels cannot change later. Who
//! makes one holds its lock; whoever comes second waits and finds it made.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use sha2::{Digest, Sha256};

use super::container::{self, Container};
use super::engine::{Engine, is_absent, is_conflict};
use super::entrance::{self, Entrance};
use super::exec::ContainerTools;
use super::image::{self, ImageInfo};
use super::limits::Limits;
use super::owner::{self, BASE, IMAGE, Lock, Owner};
use super::spec::{Access, Spec};
use super::{clean, lay, ready, shelf, usage};
use crate::stage::admin::Admin;
use crate::stage::connect::{open, quoted};
use crate::stage::{Endpoint, Fill, Network, Origin, Request, Watch, contents, shaping};
use crate::{Error, Result};

/// Raised whenever what a base holds changes its form.
const FORMAT: &str = "3";

/// Where a base is mounted.
pub(super) const MOUNT: &str = "/lockproof/base";
pub(super) const COMPLETE: &str = "/lockproof/base/complete";

/// An image's own first-start scripts may load data of their own.
const FIRST_START: Duration = Duration::from_secs(30 * 60);

/// A shutdown writes everything that is still in memory.
const SHUTDOWN: Duration = Duration::from_secs(15 * 60);

/// How often a base that another machine makes is looked at, and how often in vain before it is given up.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 20;

/// A restored base that runs are cloned from.
#[derive(Debug, Clone)]
pub struct Base {
    /// True when it was there already, and nothing was restored.
    pub reused: bool,
    /// The image that made it and runs on it.
    pub image: ImageInfo,
    pub(super) volume: String,
    pub(super) request: Request,
    pub(super) admin: Admin,
    pub(super) limits: Limits,
    /// Keeps it from being removed between two replays; None: whoever made it is out of reach.
    in_use: Option<Arc<File>>,
}

impl Base {
    /// The name of its volume.
    pub fn name(&self) -> &str {
        &self.volume
    }
}

pub(super) async fn prepare<F: Fill>(
    engine: &Engine,
    image: &str,
    request: &Request,
    limits: &Limits,
    fill: &F,
    watch: &dyn Watch,
) -> Result<Base> {
    let image = image::ensure(engine, image, watch).await?;
    if let Some(major) = request.server_major
        && major != image.postgres_major
    {
        watch.note(&format!(
            "the snapshot comes from PostgreSQL {major}, the image `{}` has {}: locks may differ",
            image.name, image.postgres_major
        ));
    }
    let origin = fill.origin()?;
    let probing = owner::labels("probe", &request.run_id);
    let source = lay::identity(engine, &origin, &image, probing, watch).await?;
    let key = key(request, &image.id, &source);
    let volume = format!("lockproof-base-{key}");
    let path = request.cache.join("locks").join(format!("base-{key}.lock"));
    let mut lock = Lock::acquire(path, watch).await?;
    let mut base = Base {
        reused: true,
        image,
        volume,
        request: request.clone(),
        limits: limits.clone(),
        admin: Admin::ours(),
        in_use: None,
    };
    let mut waited = false;
    let mut looked = 0;
    while let Some(labels) = labels(engine, &base.volume).await? {
        let probe = lock.labels("probe", &request.run_id);
        if let Some(admin) = shelf::use_if_complete(engine, &base, probe).await? {
            base.admin = admin;
            base.in_use = usage::take(&labels).map(Arc::new);
            return Ok(base);
        }
        // Our lock keeps off only those with the same cache folder.
        if let Some(builder) = foreign_builder(engine, &base.volume, &labels, &lock).await? {
            if !waited {
                watch.note(&format!(
                    "another lockproof on this engine makes the same base (`{builder}`): waiting for it"
                ));
                watch.phase("waiting for the base that another lockproof makes");
                waited = true;
            }
            tokio::time::sleep(LOOK).await;
            looked = 0;
            continue;
        }
        // Between two containers of a builder on another machine nothing of it is to be seen.
        if owner::owner(&labels) == Owner::Elsewhere && looked < LOOKS {
            looked += 1;
            tokio::time::sleep(LOOK).await;
            continue;
        }
        watch.note("an earlier run was interrupted while it made this base: making it anew");
        if !discard(engine, &base.volume, Some(&lock)).await? {
            return Err(Error::stage(format!(
                "the unfinished base `{}` is used by a container that is not lockproof's",
                base.volume
            ))
            .help("find it with `docker ps -a --filter volume=…` and remove it"));
        }
    }
    base.reused = false;
    lock.making();
    let made = make(engine, &mut base, &key, &lock, &origin, fill, watch).await;
    if made.is_err() {
        // The first error is the one to tell; what this leaves, `clean` removes.
        let discarding = discard(engine, &base.volume, Some(&lock));
        engine.attended(discarding).await.ok();
    }
    lock.made();
    made?;
    base.in_use = usage::take(&lock.labels("base", &request.run_id)).map(Arc::new);
    Ok(base)
}

/// Who is at work on an unfinished base, under a lock other than ours.
async fn foreign_builder(
    engine: &Engine,
    volume: &str,
    labels: &HashMap<String, String>,
    lock: &Lock,
) -> Result<Option<String>> {
    for found in clean::containers(engine, "volume", volume).await? {
        let at_work = match owner::owner(&found.labels) {
            Owner::Alive => !lock.is_of(&found.labels),
            Owner::Elsewhere => found.is_running && !found.is_old(),
            Owner::Gone | Owner::Kept => false,
        };
        if at_work && found.is_builder() {
            return Ok(Some(found.name));
        }
    }
    // Its first container is still to come.
    let begun = owner::owner(labels) == Owner::Alive && !lock.is_of(labels);
    Ok(begun.then(|| volume.to_owned()))
}

/// What is in a base, in 24 hex digits.
fn key(request: &Request, image_id: &str, source: &str) -> String {
    let mut hash = Sha256::new();
    for part in [
        FORMAT,
        &request.base_digest,
        image_id,
        &request.database,
        source,
    ] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    for (name, value) in shaping::shaping(&request.settings) {
        hash.update(format!("{name}={value}\0"));
    }
    hash.finalize()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn make<F: Fill>(
    engine: &Engine,
    base: &mut Base,
    key: &str,
    lock: &Lock,
    origin: &Origin,
    fill: &F,
    watch: &dyn Watch,
) -> Result<()> {
    let mut labels = lock.labels("base", &base.request.run_id);
    labels.insert(BASE.to_owned(), key.to_owned());
    labels.insert(IMAGE.to_owned(), base.image.id.clone());
    labels.extend(shelf::labels(&base.request, &base.image, fill.name()));
    let volume = VolumeCreateRequest {
        name: Some(base.volume.clone()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    engine
        .api
        .create_volume(volume)
        .await
        .map_err(|error| engine.failed("make a volume for the base", error))?;

    let mut building = lock.labels("build", &base.request.run_id);
    building.insert(BASE.to_owned(), key.to_owned());
    base.admin = lay::lay(engine, base, origin, fill, &building, watch).await?;

    watch.phase("starting the server that the snapshot is restored into");
    let mut entrance = Entrance::prepare(engine, base.request.network)?;
    let container = entrance
        .create(engine, |sockets| {
            filling(engine, base, origin, key, lock, sockets)
        })
        .await?;
    let filled = fill_in(
        engine,
        base,
        origin,
        (&container, &mut entrance),
        fill,
        watch,
    )
    .await;
    let removed = container.remove(engine).await;
    // What went wrong first is what is told.
    let rows = filled?;
    removed?;

    watch.phase("writing the base to disk");
    let labels = building;
    let seal = Spec::script(
        &base.image.name,
        &base.image.id,
        include_str!("scripts/seal.sh"),
        vec![
            rows.map_or_else(String::new, |rows| rows.to_string()),
            base.admin.superuser.clone(),
            base.admin.database.clone(),
        ],
    )
    .labels(labels.clone())
    .volume(Some(&base.volume), MOUNT, Access::ReadWrite, labels);
    container::run_to_end(engine, seal).await?;
    Ok(())
}

/// The container that a base is filled in.
fn filling(
    engine: &Engine,
    base: &Base,
    origin: &Origin,
    key: &str,
    lock: &Lock,
    sockets: Option<&Path>,
) -> Spec {
    let mut labels = lock.labels("build", &base.request.run_id);
    labels.insert(BASE.to_owned(), key.to_owned());
    let image = &base.image;
    // The image's own first start makes a cluster, which a physical copy is already.
    let mut command = match origin {
        Origin::New => image.entrypoint.clone().unwrap_or_default(),
        _ => Vec::new(),
    };
    let request = Request {
        settings: shaping::filling(&base.request.settings),
        ..base.request.clone()
    };
    command.extend(server(&request, FILLING, "/lockproof/base", sockets));
    let mut environment = vec![
        ("PGDATA", "/lockproof/base/data"),
        ("POSTGRES_USER", "postgres"),
        ("POSTGRES_DB", base.request.database.as_str()),
        // Nobody comes in by it: the server gets our own pg_hba.conf, and a password when it is up.
        ("POSTGRES_HOST_AUTH_METHOD", "trust"),
        // A log folder beside the volume would be missing from every clone.
        ("POSTGRES_INITDB_WALDIR", ""),
    ];
    if !image.own_initdb_args {
        environment.push(("POSTGRES_INITDB_ARGS", "--encoding=UTF8"));
    }
    // Restoring may use every processor.
    let limits = Limits {
        cpus: None,
        ..base.limits.clone()
    };
    Spec::script(
        &image.name,
        &image.id,
        include_str!("scripts/fill.sh"),
        command,
    )
    .named(format!("lockproof-build-{key}"))
    .labels(labels.clone())
    .environment(&environment)
    .volume(Some(&base.volume), MOUNT, Access::ReadWrite, labels)
    .limits(&limits)
    .folder(sockets, entrance::SOCKETS)
    .network(engine, base.request.network)
}

/// Speed while filling: nothing has to survive a crash before the base is sealed. `max_wal_size`
/// stays as it is: a larger one leaves recycled segments behind that every clone would copy.
const FILLING: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    // Not synchronous_commit=off: VACUUM could not call rows visible whose commit is not written yet.
    ("autovacuum", "off"),
    ("archive_mode", "off"),
    // No subscription of a dump is followed.
    ("max_logical_replication_workers", "0"),
    ("timezone", "UTC"),
    ("maintenance_work_mem", "256MB"),
];

/// The server's command line: the scenario's settings, then those over them, then what makes it
/// reachable, which nobody overrides.
pub(super) fn server(
    request: &Request,
    over: &[(&str, &str)],
    folder: &str,
    sockets: Option<&Path>,
) -> Vec<String> {
    let directories = match sockets {
        Some(_) => format!("/var/run/postgresql,{}", entrance::SOCKETS),
        None => "/var/run/postgresql".to_owned(),
    };
    // Without a network there is no other address.
    let addresses = match request.network {
        Network::Closed => "localhost",
        Network::Open => "*",
    };
    let hba = format!("{folder}/pg_hba.conf");
    let ours = [
        ("listen_addresses", addresses),
        ("port", "5432"),
        ("unix_socket_directories", directories.as_str()),
        ("hba_file", hba.as_str()),
        // The container's log is where errors are looked for.
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
    ];
    let asked = request
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut command = vec![
        "postgres".to_owned(),
        "-D".to_owned(),
        format!("{folder}/data"),
    ];
    for (name, value) in asked.chain(over.iter().copied()).chain(ours) {
        command.push("-c".to_owned());
        command.push(format!("{name}={value}"));
    }
    command
}

async fn fill_in<F: Fill>(
    engine: &Engine,
    base: &Base,
    origin: &Origin,
    (container, entrance): (&Container, &mut Entrance),
    fill: &F,
    watch: &dyn Watch,
) -> Result<Option<u64>> {
    container.start(engine).await?;
    let server = ready::ready(engine, container, FIRST_START, base, entrance).await?;
    let endpoint = server.in_database(&base.request.database);
    if *origin == Origin::New {
        create_database(&server, &base.request.database).await?;
    }
    let tools = ContainerTools { engine, container };
    if let Err(error) = fill.fill(&endpoint, &tools, watch).await {
        // A server that died explains more than the statement that noticed.
        return Err(match ready::alive(engine, container).await {
            Err(ended) => ended.because(error),
            Ok(()) => error,
        });
    }
    let rows = contents::rows(&endpoint).await;
    watch.phase("shutting the restored server down");
    container.stop(engine, SHUTDOWN).await?;
    let state = container.state(engine).await?;
    if state.exit_code != Some(0) {
        return Err(container.ended(engine, "the restored server").await);
    }
    Ok(rows)
}

/// Makes the database, unless the image's own scripts did.
async fn create_database(server: &Endpoint, database: &str) -> Result<()> {
    let opened = open(server, "lockproof").await?;
    let client = opened.client;
    let made = async {
        let there = client
            .query_opt(
                "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1",
                &[&database],
            )
            .await?;
        if there.is_none() {
            client
                .batch_execute(&format!("CREATE DATABASE {}", quoted(database)))
                .await?;
        }
        Ok::<_, tokio_postgres::Error>(())
    };
    made.await.map_err(|error| {
        Error::stage(format!("cannot make the database `{database}`")).because(error)
    })?;
    drop(client);
    opened.driver.await.ok();
    Ok(())
}

/// The labels of a volume; None: there is no such volume.
pub(super) async fn labels(
    engine: &Engine,
    volume: &str,
) -> Result<Option<HashMap<String, String>>> {
    match engine.api.inspect_volume(volume).await {
        Ok(found) => Ok(Some(found.labels)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(engine.failed("look for the base's volume", error)),
    }
}

/// A container that never starts: 40 ms, where one that runs takes 300.
async fn look_into(
    engine: &Engine,
    volume: &str,
    image_id: &str,
    labels: HashMap<String, String>,
) -> Result<Container> {
    let spec = Spec::script(image_id, image_id, "", Vec::new())
        .labels(labels.clone())
        .volume(Some(volume), MOUNT, Access::ReadOnly, labels);
    container::create(engine, spec).await
}

/// Whether a base was made to its end.
pub(super) async fn is_complete(
    engine: &Engine,
    volume: &str,
    image_id: &str,
    labels: HashMap<String, String>,
) -> Result<bool> {
    let container = look_into(engine, volume, image_id, labels).await?;
    let complete = container.has(engine, COMPLETE).await;
    let removed = container.remove(engine).await;
    let complete = complete?;
    removed.map(|()| complete)
}

/// Removes a base and what is left of its building. False: something at work uses it.
///
/// With the base's own lock in hand, whoever used it under that lock is gone.
pub(super) async fn discard(engine: &Engine, volume: &str, lock: Option<&Lock>) -> Result<bool> {
    for found in clean::containers(engine, "volume", volume).await? {
        let removable = match owner::owner(&found.labels) {
            Owner::Gone => true,
            Owner::Alive => {
                found.is_builder() && lock.is_some_and(|lock| lock.is_of(&found.labels))
            }
            Owner::Elsewhere => found.is_builder() && (found.is_old() || !found.is_running),
            Owner::Kept => false,
        };
        if removable {
            container::remove(engine, &found.id).await?;
        }
    }
    match engine
        .api
        .remove_volume(volume, None::<RemoveVolumeOptions>)
        .await
    {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(engine.failed(&format!("remove the volume `{volume}`"), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn request() -> Request {
        Request {
            run_id: "r".into(),
            settings: BTreeMap::from([
                ("port".to_owned(), "1".to_owned()),
                ("fsync".to_owned(), "on".to_owned()),
            ]),
            database: "app".into(),
            base_digest: "d".into(),
            server_major: None,
            cache: "/cache".into(),
            network: Default::default(),
        }
    }

    #[test]
    fn a_base_is_known_by_what_it_holds() {
        let first = request();
        let mut other = request();
        other.run_id = "another run".into();
        other.settings.clear();
        assert_eq!(key(&first, "image", ""), key(&other, "image", ""));
        assert_ne!(key(&first, "image", ""), key(&first, "another image", ""));
        other.database = "other".into();
        assert_ne!(key(&first, "image", ""), key(&other, "image", ""));
        assert_eq!(key(&first, "image", "").len(), 24);
        let mut other = request();
        other.settings.insert("work_mem".into(), "1MB".into());
        assert_eq!(key(&first, "image", ""), key(&other, "image", ""));
        let library = ("shared_preload_libraries", "timescaledb");
        other.settings.insert(library.0.into(), library.1.into());
        assert_ne!(key(&first, "image", ""), key(&other, "image", ""));
    }

    #[test]
    fn reachability_wins_over_speed_wins_over_settings() {
        let command = server(&request(), FILLING, "/f", None);
        let at = |setting: &str| command.iter().position(|word| word == setting);
        assert!(at("fsync=on") < at("fsync=off"));
        assert!(at("port=1") < at("port=5432"));
        assert!(at("hba_file=/f/pg_hba.conf").is_some());
        // A run is as durable as production.
        let run = server(&request(), &[], "/f", None);
        assert!(!run.iter().any(|word| word == "fsync=off"));
    }
}
