//! The bases of an engine: what is known of each, and when it was last used.
//!
//! What is known when a base is begun stands in its labels, which nobody can change later. Its size and its
//! rows are in its file `complete`; its last use is the time of its file `used`, in the volume and not in a
//! cache folder: all who share the engine share its bases, whatever their cache folders.

use std::collections::HashMap;

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::base::{COMPLETE, MOUNT};
use super::container::{self, Container};
use super::engine::{Engine, is_absent};
use super::image::ImageInfo;
use super::owner::{self, BASE, IMAGE, Owner};
use super::spec::{Access, Spec};
use super::usage::{self, Claim};
use super::{base, clean};
use crate::stage::admin::Admin;
use crate::stage::cached::Cached;
use crate::stage::{Request, StageKind};
use crate::{Error, Result};

const USED: &str = "used";
const SNAPSHOT: &str = "lockproof.snapshot";
const DIGEST: &str = "lockproof.digest";
const DATABASE: &str = "lockproof.database";
const IMAGE_NAME: &str = "lockproof.image.name";
const SERVER: &str = "lockproof.server";
const MADE_BY: &str = "lockproof.version";
/// The engine's own date of a volume changes with what is in it.
const MADE_AT: &str = "lockproof.made";

/// So many bases are looked into at once.
const AT_ONCE: usize = 4;

/// What a base's labels say of it.
pub(super) fn labels(
    request: &Request,
    image: &ImageInfo,
    snapshot: Option<&str>,
) -> HashMap<String, String> {
    let server = image.postgres_major.to_string();
    let now = crate::clock::wall().to_string();
    [
        (SNAPSHOT, snapshot),
        (DIGEST, Some(request.base_digest.as_str())),
        (DATABASE, Some(request.database.as_str())),
        (IMAGE_NAME, Some(image.name.as_str())),
        (SERVER, Some(server.as_str())),
        (MADE_BY, Some(env!("CARGO_PKG_VERSION"))),
        (MADE_AT, Some(now.as_str())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
    .collect()
}

/// The finished bases of the engine, by name.
pub(super) async fn list(engine: &Engine) -> Result<Vec<Cached>> {
    let volumes = clean::bases(engine).await?;
    let looks = volumes
        .into_iter()
        .map(|(volume, labels)| look(engine, volume, labels));
    let found: Vec<Option<Cached>> = futures_util::stream::iter(looks)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

async fn look(
    engine: &Engine,
    volume: String,
    labels: HashMap<String, String>,
) -> Result<Option<Cached>> {
    let created = match engine.api.inspect_volume(&volume).await {
        Ok(found) => found.created_at.map(|at| at.to_string()),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(engine.failed("look at a base's volume", error)),
    };
    let image = labels.get(IMAGE).cloned().unwrap_or_default();
    let mut in_use = matches!(usage::claim(&labels), Claim::Taken);
    for found in clean::containers(engine, "volume", &volume).await? {
        in_use |= !found.is_builder()
            && match owner::owner(&found.labels) {
                Owner::Alive | Owner::Kept => true,
                Owner::Elsewhere => found.is_running,
                Owner::Gone => false,
            };
    }
    // Without its image no container can be made to look through.
    let seen = match engine.api.inspect_image(&image).await {
        Ok(_) => Some(look_inside(engine, &volume, &image).await?),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(engine.failed("look for a base's image", error)),
    };
    let seen = match seen {
        // Unfinished: `clean` removes it, or its maker is at it.
        Some(None) => return Ok(None),
        Some(Some(seen)) => seen,
        None => Inside::default(),
    };
    let label = |name: &str| labels.get(name).cloned();
    Ok(Some(Cached {
        id: label(BASE).unwrap_or_default(),
        snapshot: label(SNAPSHOT),
        stage: StageKind::Docker,
        place: volume.clone(),
        digest: label(DIGEST),
        database: label(DATABASE),
        server_version: label(SERVER),
        image: label(IMAGE_NAME),
        made_by: label(MADE_BY),
        bytes: seen.bytes,
        rows: seen.rows,
        made_at: label(MADE_AT).or(created).and_then(|at| at.parse().ok()),
        used_at: seen.used_at,
        in_use,
        key: volume,
    }))
}

/// What a base's own files say.
#[derive(Debug, Default)]
struct Inside {
    bytes: Option<u64>,
    rows: Option<u64>,
    used_at: Option<Timestamp>,
}

/// Through a container that never starts; None: the base is not finished.
async fn look_inside(engine: &Engine, volume: &str, image: &str) -> Result<Option<Inside>> {
    let container = probe(
        engine,
        volume,
        image,
        Access::ReadOnly,
        owner::labels("probe", ""),
    )
    .await?;
    let seen = async {
        let Some(text) = container.read(engine, COMPLETE).await? else {
            return Ok(None);
        };
        let mut lines = text.lines().map(|line| line.trim().parse::<u64>().ok());
        Ok(Some(Inside {
            bytes: lines.next().flatten().map(|kilobytes| kilobytes * 1024),
            rows: lines.next().flatten(),
            used_at: time(engine, &container, &format!("{MOUNT}/{USED}")).await?,
        }))
    }
    .await;
    let removed = container.remove(engine).await;
    let seen = seen?;
    removed.map(|()| seen)
}

/// Who may do everything in a base, which is noted as used now; None: it is not finished. One
/// container for both, 50 ms.
pub(super) async fn use_if_complete(
    engine: &Engine,
    base: &base::Base,
    labels: HashMap<String, String>,
) -> Result<Option<Admin>> {
    let container = probe(
        engine,
        &base.volume,
        &base.image.id,
        Access::ReadWrite,
        labels,
    )
    .await?;
    let complete = container.read(engine, COMPLETE).await;
    if matches!(complete, Ok(Some(_))) {
        // A base whose use cannot be noted serves all the same.
        let _ = note_use(engine, &container).await;
    }
    let removed = container.remove(engine).await;
    let complete = complete?;
    removed?;
    Ok(complete.map(|complete| {
        // Kilobytes, rows, superuser, a database of it; a line each.
        let mut lines = complete.lines().skip(2).map(str::to_owned);
        let ours = Admin::ours();
        Admin {
            superuser: lines.next().unwrap_or(ours.superuser),
            database: lines.next().unwrap_or(ours.database),
        }
    }))
}

async fn probe(
    engine: &Engine,
    volume: &str,
    image: &str,
    access: Access,
    labels: HashMap<String, String>,
) -> Result<Container> {
    let spec = Spec::script(image, image, "", Vec::new())
        .labels(labels.clone())
        .volume(Some(volume), MOUNT, access, labels);
    container::create(engine, spec).await
}

async fn note_use(engine: &Engine, container: &Container) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(0);
    header.set_mtime(u64::try_from(crate::clock::wall().as_second()).unwrap_or_default());
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    let archive = archive
        .append_data(&mut header, USED, std::io::empty())
        .and_then(|()| archive.into_inner())
        .map_err(|error| Error::defect("an archive cannot be made").because(error))?;
    let options = UploadToContainerOptionsBuilder::default()
        .path(MOUNT)
        .build();
    engine
        .api
        .upload_to_container(
            &container.id,
            Some(options),
            bollard::body_full(archive.into()),
        )
        .await
        .map_err(|error| engine.failed("note the use of a base", error))
}

/// When a file was last written; None: there is none, or the engine does not say.
async fn time(engine: &Engine, container: &Container, path: &str) -> Result<Option<Timestamp>> {
    let options = ContainerArchiveInfoOptionsBuilder::default()
        .path(path)
        .build();
    match engine
        .api
        .get_container_archive_info(&container.id, Some(options))
        .await
    {
        Ok(found) => Ok(found
            .modification_time
            .and_then(|at| at.to_string().parse().ok())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(engine.failed("look into a base", error)),
    }
}
