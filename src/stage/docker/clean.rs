//! Finds and removes what runs left behind, by label.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};

use tokio::time::Instant;

use super::base;
use super::container;
use super::engine::{Engine, is_absent, is_conflict};
use super::owner::{self, IMAGE, Lock, Owner, ROLE, RUN};
use super::usage::{self, Claim};
use crate::Result;

/// From one look to the next, and how long it is looked at all.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(60);
/// After so long nothing of another machine is taken for a run at work.
const LONG_AGO: i64 = 24 * 3600;

/// How much `clean` removes. What is at work stays in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// What belongs to processes that are gone, and unfinished bases.
    Abandoned,
    /// Also stages that were kept, bases, and what another machine left more than a day ago.
    Everything,
}

/// A container or a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftoverKind {
    /// A container, with the volumes that belong to it alone.
    Container,
    /// A volume that no container of ours uses.
    Volume,
}

/// Something of ours on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// A container or a volume.
    pub kind: LeftoverKind,
    /// Its name, as the engine shows it.
    pub name: String,
    /// `run`, `build`, `probe` or `base`.
    pub role: String,
    /// The run that made it.
    pub run_id: String,
    /// What became of the process that made it.
    pub owner: Owner,
}

/// A container with its labels.
pub(super) struct Labelled {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) labels: HashMap<String, String>,
    pub(super) is_running: bool,
    created: i64,
}

impl Labelled {
    /// Too old to be at work.
    pub(super) fn is_old(&self) -> bool {
        crate::clock::wall().as_second() - self.created > LONG_AGO
    }

    pub(super) fn is_builder(&self) -> bool {
        matches!(role(&self.labels), "build" | "probe")
    }
}

pub(super) async fn list(engine: &Engine) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for container in containers(engine, "label", ROLE).await? {
        found.push(leftover(
            LeftoverKind::Container,
            &container.name,
            &container.labels,
        ));
    }
    for (name, labels) in volumes(engine).await? {
        // A volume in use goes with its container.
        if role(&labels) == "base" || containers(engine, "volume", &name).await?.is_empty() {
            found.push(leftover(LeftoverKind::Volume, &name, &labels));
        }
    }
    Ok(found)
}

/// Looks until nothing more comes of what killed processes had asked for. `cache` has the locks of those.
pub(super) async fn clean(engine: &Engine, sweep: Sweep, cache: &Path) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let was_removed = removed.len();
        let is_stuck = clean_once(engine, sweep, &mut removed).await?;
        let is_done =
            removed.len() == was_removed && !is_stuck && !owner::is_settling(&cache.join("locks"));
        if is_done || Instant::now() > deadline {
            return Ok(removed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One look around. True: an unfinished base is still in use, as while its container is being removed.
async fn clean_once(engine: &Engine, sweep: Sweep, removed: &mut Vec<String>) -> Result<bool> {
    let mut is_stuck = false;
    for found in containers(engine, "label", ROLE).await? {
        let removable = match owner::owner(&found.labels) {
            Owner::Gone => true,
            Owner::Alive => false,
            Owner::Kept => sweep == Sweep::Everything,
            Owner::Elsewhere => found.is_old() && sweep == Sweep::Everything,
        };
        if removable {
            container::remove(engine, &found.id).await?;
            removed.push(format!("container {}", found.name));
            if role(&found.labels) == "run" {
                discard_lock(&found.labels)?;
            }
        }
    }
    for (name, labels) in volumes(engine).await? {
        let gone = if role(&labels) == "base" {
            let removal = remove_base(engine, &name, &labels, sweep).await?;
            is_stuck |= removal == Removal::InUse && owner::owner(&labels) == Owner::Gone;
            removal == Removal::Gone
        } else if owner::owner(&labels) == Owner::Alive {
            false
        } else {
            remove_volume(engine, &name).await?
        };
        if gone {
            removed.push(format!("volume {name}"));
        }
    }
    Ok(is_stuck)
}

/// Removes all containers and volumes of one run of this process, whatever their state.
pub(super) async fn remove_run(engine: &Engine, run_id: &str) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for found in containers(engine, "label", &format!("{RUN}={run_id}")).await? {
        container::remove(engine, &found.id).await?;
        removed.push(format!("container {}", found.name));
        if role(&found.labels) == "run" {
            discard_lock(&found.labels)?;
        }
    }
    for (name, labels) in volumes(engine).await? {
        if labels.get(RUN).is_none_or(|run| run != run_id) {
            continue;
        }
        let gone = if role(&labels) == "base" {
            remove_base(engine, &name, &labels, Sweep::Abandoned).await? == Removal::Gone
        } else {
            remove_volume(engine, &name).await?
        };
        if gone {
            removed.push(format!("volume {name}"));
        }
    }
    Ok(removed)
}

pub(super) async fn remove_base_named(engine: &Engine, name: &str) -> Result<bool> {
    for (found, labels) in volumes(engine).await? {
        if found == name && role(&labels) == "base" {
            let removal = remove_base(engine, name, &labels, Sweep::Everything).await?;
            return Ok(removal == Removal::Gone);
        }
    }
    Ok(true)
}

/// All containers that match one filter.
pub(super) async fn containers(
    engine: &Engine,
    filter: &str,
    value: &str,
) -> Result<Vec<Labelled>> {
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&HashMap::from([(filter, vec![value])]))
        .build();
    let found = engine
        .api
        .list_containers(Some(options))
        .await
        .map_err(|error| engine.failed("list its containers", error))?;
    let mut found: Vec<_> = found
        .into_iter()
        .filter_map(|container| {
            let id = container.id?;
            let names = container.names.unwrap_or_default();
            Some(Labelled {
                name: names
                    .first()
                    .map_or(id.as_str(), |name| name.trim_start_matches('/'))
                    .to_owned(),
                labels: container.labels.unwrap_or_default(),
                is_running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
                created: container.created.unwrap_or_default(),
                id,
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

async fn volumes(engine: &Engine) -> Result<Vec<(String, HashMap<String, String>)>> {
    let options = ListVolumesOptionsBuilder::default()
        .filters(&HashMap::from([("label", vec![ROLE])]))
        .build();
    let found = engine
        .api
        .list_volumes(Some(options))
        .await
        .map_err(|error| engine.failed("list its volumes", error))?;
    let mut found: Vec<_> = found
        .volumes
        .unwrap_or_default()
        .into_iter()
        .map(|volume| (volume.name, volume.labels))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// The volumes of bases, finished or not, by name.
pub(super) async fn bases(engine: &Engine) -> Result<Vec<(String, HashMap<String, String>)>> {
    let mut found = volumes(engine).await?;
    found.retain(|(_, labels)| role(labels) == "base");
    Ok(found)
}

/// What became of a base that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    Gone,
    /// It is good, or others' business.
    Stays,
    /// The engine says that a container has it.
    InUse,
}

/// Removes a base that is unfinished, or any.
async fn remove_base(
    engine: &Engine,
    name: &str,
    labels: &HashMap<String, String>,
    sweep: Sweep,
) -> Result<Removal> {
    // Held until it is gone, so that nobody takes it for a good one meanwhile.
    let lock = match owner::lock_path(labels) {
        Some(path) if path.exists() => match Lock::try_acquire(&path) {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => return Ok(Removal::Stays),
            Err(_) => None,
        },
        _ => None,
    };
    // So is this: a run may be between two replays.
    let _unused = match usage::claim(labels) {
        Claim::Taken => return Ok(Removal::Stays),
        free @ Claim::Free(_) => free,
    };
    if sweep == Sweep::Abandoned {
        if lock.is_none() && owner::owner(labels) != Owner::Gone {
            return Ok(Removal::Stays);
        }
        // Without its image no run will ask for it again.
        let image = labels.get(IMAGE).map_or("", String::as_str);
        let usable = match engine.api.inspect_image(image).await {
            Ok(_) => base::is_complete(engine, name, image, owner::labels("probe", "")).await?,
            Err(error) if is_absent(&error) => false,
            Err(error) => return Err(engine.failed("look for the base's image", error)),
        };
        if usable {
            return Ok(Removal::Stays);
        }
    }
    Ok(match base::discard(engine, name, lock.as_ref()).await? {
        true => Removal::Gone,
        false => Removal::InUse,
    })
}

async fn remove_volume(engine: &Engine, name: &str) -> Result<bool> {
    match engine
        .api
        .remove_volume(name, None::<RemoveVolumeOptions>)
        .await
    {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) || is_conflict(&error) => Ok(false),
        Err(error) => Err(engine.failed(&format!("remove the volume `{name}`"), error)),
    }
}

/// A run's lock file goes with it; a base's stays, since somebody may wait for it.
fn discard_lock(labels: &HashMap<String, String>) -> Result<()> {
    if let Some(path) = owner::lock_path(labels)
        && path.exists()
        && let Some(lock) = Lock::try_acquire(&path)?
    {
        lock.discard();
    }
    Ok(())
}

fn leftover(kind: LeftoverKind, name: &str, labels: &HashMap<String, String>) -> Leftover {
    Leftover {
        kind,
        name: name.to_owned(),
        role: role(labels).to_owned(),
        run_id: labels.get(RUN).cloned().unwrap_or_default(),
        owner: owner::owner(labels),
    }
}

fn role(labels: &HashMap<String, String>) -> &str {
    labels.get(ROLE).map_or("", String::as_str)
}
