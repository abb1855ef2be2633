//! Lays a copy of another server's data folder into a base's volume and adopts it.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::base::{self, Base, MOUNT};
use super::clean;
use super::container;
use super::engine::Engine;
use super::image;
use super::place;
use super::spec::{Access, Spec};
use crate::stage::admin::Admin;
use crate::stage::physical::adopt;
use crate::stage::{Fill, Origin, Unit, Watch};
use crate::{Error, Result, redact};

/// Where another volume is mounted.
const SOURCE: &str = "/lockproof/source";

/// More databases than this are not listed.
const LINES: usize = 1000;

/// What is at an origin that only the engine can look into; nothing where our own digest has it.
pub(super) async fn identity(
    engine: &Engine,
    origin: &Origin,
    at: &image::ImageInfo,
    labels: HashMap<String, String>,
    watch: &dyn Watch,
) -> Result<String> {
    match origin {
        Origin::New | Origin::Files(_) => Ok(String::new()),
        Origin::Image { image, .. } => Ok(image::ensure(engine, image, watch).await?.id),
        Origin::Volume { volume, path } => {
            refuse_unusable(engine, volume).await?;
            let spec = Spec::script(&at.name, &at.id, "", Vec::new())
                .labels(labels.clone())
                .volume(Some(volume), SOURCE, Access::ReadOnly, labels);
            let container = container::create(engine, spec).await?;
            // Every shutdown and checkpoint rewrites it.
            let control = container
                .read_bytes(engine, &format!("{SOURCE}/{path}/global/pg_control"))
                .await;
            let removed = container.remove(engine).await;
            let control = control?.ok_or_else(|| {
                Error::stage(format!(
                    "there is no data folder at `{path}` in the volume `{volume}`"
                ))
                .help("name the folder in it with `source.path`")
            })?;
            removed?;
            Ok(Sha256::digest(&control)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect())
        }
    }
}

/// An engine would silently make an empty volume; a server that runs changes what is copied.
async fn refuse_unusable(engine: &Engine, volume: &str) -> Result<()> {
    if base::labels(engine, volume).await?.is_none() {
        return Err(Error::stage(format!("the engine has no volume `{volume}`"))
            .help("`docker volume ls` lists them; name one as `source.volume`"));
    }
    let running = clean::containers(engine, "volume", volume).await?;
    match running.iter().find(|container| container.is_running) {
        None => Ok(()),
        Some(container) => Err(Error::stage(format!(
            "the container `{}` runs on the volume `{volume}`",
            container.name
        ))
        .help("stop it, or take a base backup of its server with `pg_basebackup` and name that")),
    }
}

/// Lays it and adopts it; who may do everything in it.
pub(super) async fn lay<F: Fill>(
    engine: &Engine,
    base: &Base,
    origin: &Origin,
    fill: &F,
    labels: &HashMap<String, String>,
    watch: &dyn Watch,
) -> Result<Admin> {
    let mut verified = false;
    let conf;
    match origin {
        Origin::New => return Ok(Admin::ours()),
        Origin::Files(files) => {
            verified = files.compare(watch).await?;
            conf = files.conf()?;
        }
        Origin::Image { image, path } => {
            watch.phase(&format!("copying the data folder of the image `{image}`"));
            let image = image::ensure(engine, image, watch).await?;
            let arguments = path.iter().cloned().collect();
            let spec = Spec::script(
                &image.name,
                &image.id,
                include_str!("scripts/take.sh"),
                arguments,
            );
            conf = take(engine, base, spec, labels).await?;
        }
        Origin::Volume { volume, path } => {
            refuse_unusable(engine, volume).await?;
            watch.phase(&format!("copying the data folder of the volume `{volume}`"));
            let arguments = vec![format!("{SOURCE}/{path}")];
            let at = &base.image;
            let spec = Spec::script(&at.name, &at.id, include_str!("scripts/take.sh"), arguments)
                .volume(Some(volume), SOURCE, Access::ReadOnly, labels.clone());
            conf = take(engine, base, spec, labels).await?;
        }
    }
    let conf = fill.inherits(&conf).told(watch);
    let mut arguments = vec!["/lockproof/base".to_owned(), conf];
    arguments.extend(
        base.request
            .settings
            .iter()
            .filter(|(name, _)| name.as_str() == "shared_preload_libraries")
            .map(|(name, value)| format!("{name}={value}")),
    );
    let script = format!("prepare_user\n{}", adopt::SCRIPT);
    let spec = Spec::script(&base.image.name, &base.image.id, &script, arguments)
        .environment(&[("LOCKPROOF_VERIFIED", if verified { "yes" } else { "no" })])
        .labels(labels.clone())
        .volume(Some(&base.volume), MOUNT, Access::ReadWrite, labels.clone());
    let container = container::create(engine, spec).await?;
    let adopted = async {
        if let Origin::Files(files) = origin {
            watch.measured(
                "taking the physical snapshot into the container",
                Unit::Bytes,
            );
            place::lay(engine, &container, files.clone(), watch).await?;
        }
        watch.phase("recovering the physical snapshot");
        let state = container.run(engine).await?;
        let said = container.log(engine, LINES).await;
        match state.exit_code {
            Some(0) => adopt::adopted(&said, &base.request.database),
            Some(78) => Err(image::without_server(&base.image.name)),
            status => Err(adopt::failed(status, &said)),
        }
    }
    .await;
    let removed = container.remove(engine).await;
    let superuser = adopted?.superuser;
    removed?;
    Ok(Admin {
        superuser,
        database: base.request.database.clone(),
    })
}

/// Copies inside the engine; the configuration that came along.
async fn take(
    engine: &Engine,
    base: &Base,
    spec: Spec,
    labels: &HashMap<String, String>,
) -> Result<String> {
    let spec = spec.labels(labels.clone()).volume(
        Some(&base.volume),
        MOUNT,
        Access::ReadWrite,
        labels.clone(),
    );
    let container = container::create(engine, spec).await?;
    let taken = async {
        let state = container.run(engine).await?;
        if state.exit_code == Some(85) {
            return Err(Error::stage("the source holds no data folder")
                .details(redact::foreign::log(container.log(engine, 3).await))
                .help("name the folder in it with `source.path`"));
        }
        if state.exit_code == Some(86) {
            return Err(Error::stage("the data folder cannot be copied whole")
                .details(redact::foreign::log(container.log(engine, 10).await))
                .help("where its tablespaces or its WAL lie elsewhere, take a base backup with `pg_basebackup` and name that; `docker system df` tells how full the engine's disk is"));
        }
        if state.exit_code != Some(0) {
            return Err(container
                .ended(engine, "the copying of the data folder")
                .await);
        }
        let mut conf = String::new();
        for name in ["postgresql.conf", "postgresql.auto.conf"] {
            let text = container.read(engine, &format!("{MOUNT}/data/{name}")).await?;
            conf.push_str(&text.unwrap_or_default());
            conf.push('\n');
        }
        Ok(conf)
    }
    .await;
    let removed = container.remove(engine).await;
    let conf = taken?;
    removed.map(|()| conf)
}

/// Where a member of an archive goes in the volume.
pub(super) fn inside(path: &Path) -> std::path::PathBuf {
    Path::new("data").join(path)
}
