//! Which stage a run gets, and one face for the three kinds of it.

use super::docker::{Docker, DockerStage, Limits};
use super::hooked::{Hooked, HookedStage};
use super::local::binaries::OLDEST_MAJOR;
use super::local::{Local, LocalStage};
use super::{
    Beside, Cloned, Endpoint, Fill, Network, NetworkFacts, Origin, Request, RunningStage,
    StageKind, Watch, docker, local,
};
use crate::plan::{StageChoice, StagePlan};
use crate::{Error, Result};

/// The PostgreSQL major of a container when neither the snapshot nor the user names one.
pub const DEFAULT_MAJOR: u32 = 17;

/// A way to get a server.
pub enum Provider {
    /// Containers of this image.
    Docker {
        /// The engine.
        docker: Docker,
        /// The image, present on the engine.
        image: String,
        /// What a container may use.
        limits: Limits,
    },
    /// Server programs of this machine.
    Local(Local),
    /// Clones that programs of the user's make.
    Hooked(Hooked),
    /// A server that somebody else runs.
    External(Endpoint),
}

/// What `prepare` made: the base that every replay starts from.
#[derive(Debug)]
pub enum Prepared {
    /// A volume.
    Docker(docker::Base),
    /// A folder.
    Local(local::Base),
    /// Nothing, but the run that clones are made for.
    Hooked(String),
    /// The external server as it is.
    External,
}

/// A running server.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Stage {
    /// In a container.
    Docker(DockerStage),
    /// A child process.
    Local(LocalStage),
    /// A clone.
    Hooked(HookedStage),
    /// Somebody else's.
    External(Endpoint),
}

impl Provider {
    /// Picks a stage and says why.
    ///
    /// # Errors
    /// None can be had; the error names what was tried and the ways to get one.
    pub async fn choose(
        plan: &StagePlan,
        major: Option<u32>,
        origin: &Origin,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let major = plan.pg_major.or(major);
        match &plan.choice {
            StageChoice::Local if origin.is_in_engine() => Err(Error::usage(
                "the snapshot's data are in the container engine, which a local server cannot reach",
            )
            .help("use `--stage docker`, or copy the data folder out and name it with `kind = \"data\"`")),
            StageChoice::Auto if origin.is_in_engine() => {
                Self::docker(plan, major, origin, watch).await
            }
            StageChoice::External { endpoint, .. } => Ok(Self::External(endpoint.clone())),
            StageChoice::Hooks {
                hooks,
                folder,
                production,
            } => Ok(Self::Hooked(Hooked {
                hooks: hooks.clone(),
                folder: folder.clone(),
                cache: plan.cache.clone(),
                production: production.clone(),
            })),
            StageChoice::Docker => Self::docker(plan, major, origin, watch).await,
            StageChoice::Local => Self::local(plan, major, watch),
            StageChoice::Auto => match Self::docker(plan, major, origin, watch).await {
                Ok(provider) => Ok(provider),
                Err(no_container) => match Self::local(plan, major, watch) {
                    Ok(provider) => {
                        watch.note(&format!("no container: {no_container}"));
                        Ok(provider)
                    }
                    Err(no_local) => Err(Error::stage(
                        "there is neither a container nor a local server to run on",
                    )
                    .details([no_container.story(), no_local.story()])
                    .help(
                        "start a container engine and pull `postgres:17`, or install \
                             PostgreSQL's server programs and name their folder with --pg-bin; \
                             `lockproof doctor` says what it finds",
                    )),
                },
            },
        }
    }

    async fn docker(
        plan: &StagePlan,
        major: Option<u32>,
        origin: &Origin,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let docker = Docker::connect().await?;
        // A physical copy runs on the server that it comes with.
        let image = match plan.image.as_deref().or(origin.image()) {
            Some(image) => image.to_owned(),
            None => default_image(&docker, major).await?,
        };
        let info = docker.ensure_image(&image, watch).await?;
        // Before anything is restored into it, which takes long.
        if info.postgres_major < OLDEST_MAJOR {
            return Err(Error::stage(format!(
                "image `{image}` has PostgreSQL {}, older than the oldest that is supported, \
                 {OLDEST_MAJOR}",
                info.postgres_major
            ))
            .help(format!(
                "use an image of PostgreSQL {OLDEST_MAJOR} or newer, such as --image postgres:{DEFAULT_MAJOR}"
            )));
        }
        // A snapshot's major is a wish, this one an order.
        if let Some(asked) = plan.pg_major.filter(|asked| *asked != info.postgres_major) {
            return Err(Error::stage(format!(
                "image `{image}` has PostgreSQL {}, and `--pg` or `pg` of `[stage]` asks for {asked}",
                info.postgres_major
            ))
            .help(format!(
                "leave out one of the two, or use an image of PostgreSQL {asked}: --image postgres:{asked}"
            )));
        }
        if let Some(major) = major.filter(|major| *major > info.postgres_major) {
            return Err(Error::stage(format!(
                "image `{image}` has PostgreSQL {}, the snapshot is from {major}",
                info.postgres_major
            ))
            .help(format!(
                "use an image of PostgreSQL {major} or newer: --image postgres:{major}"
            )));
        }
        watch.note(&format!(
            "stage: a container of {image} (PostgreSQL {})",
            info.postgres_major
        ));
        if plan.network == Network::Open {
            tell_open(&NetworkFacts::on_this_machine(plan.network), watch);
        }
        if let Some(exposure) = docker.exposure(plan.network) {
            watch.note(&exposure);
        }
        Ok(Self::Docker {
            docker,
            image,
            limits: Limits {
                cpus: plan.cpus,
                memory_bytes: plan
                    .memory_bytes
                    .and_then(|bytes| i64::try_from(bytes).ok()),
                shm_bytes: plan.shm_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
            },
        })
    }

    fn local(plan: &StagePlan, major: Option<u32>, watch: &dyn Watch) -> Result<Self> {
        let local = Local {
            pg_bin: plan.pg_bin.clone(),
            user: None,
        };
        let installation = local.installation(major)?;
        watch.note(&format!(
            "stage: a local server (PostgreSQL {} in {})",
            installation.version,
            installation.bin_dir.display()
        ));
        tell_open(&NetworkFacts::on_this_machine(plan.network), watch);
        Ok(Self::Local(local))
    }

    /// Its kind.
    pub fn kind(&self) -> StageKind {
        match self {
            Self::Docker { .. } => StageKind::Docker,
            Self::Local(_) => StageKind::Local,
            Self::Hooked(_) | Self::External(_) => StageKind::External,
        }
    }

    /// The container image; None unless it is a container.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Docker { image, .. } => Some(image),
            _ => None,
        }
    }

    /// The restored base, from the cache or filled now.
    ///
    /// # Errors
    /// What the stage or the restore says.
    pub async fn prepare<F: Fill>(
        &self,
        request: &Request,
        fill: &F,
        watch: &dyn Watch,
    ) -> Result<Prepared> {
        Ok(match self {
            Self::Docker {
                docker,
                image,
                limits,
            } => Prepared::Docker(docker.prepare(image, request, limits, fill, watch).await?),
            Self::Local(local) => Prepared::Local(local.prepare(request, fill, watch).await?),
            Self::Hooked(_) => Prepared::Hooked(request.run_id.clone()),
            Self::External(_) => Prepared::External,
        })
    }

    /// A server on a fresh clone of the base; the external server itself.
    ///
    /// # Errors
    /// What the stage says.
    pub async fn start(&self, prepared: &Prepared, watch: &dyn Watch) -> Result<Stage> {
        Ok(match (self, prepared) {
            (Self::Docker { docker, .. }, Prepared::Docker(base)) => {
                Stage::Docker(docker.start(base, watch).await?)
            }
            (Self::Local(local), Prepared::Local(base)) => {
                Stage::Local(local.start(base, watch).await?)
            }
            (Self::Hooked(hooked), Prepared::Hooked(run_id)) => {
                Stage::Hooked(hooked.start(run_id, watch).await?)
            }
            (Self::External(endpoint), _) => Stage::External(endpoint.clone()),
            _ => return Err(Error::defect("a base was started by another kind of stage")),
        })
    }

    /// Removes what a `prepare` or `start` had begun whose future was dropped. Dropping ends a local
    /// server by itself; an engine has to be asked. What cannot be removed is told: `clean` will.
    pub async fn abandon(&self, run_id: &str, watch: &dyn Watch) {
        if let Self::Hooked(hooked) = self {
            return hooked.abandon(run_id, watch).await;
        }
        let Self::Docker { docker, .. } = self else {
            return;
        };
        if let Err(error) = docker.abandon(run_id).await {
            watch.note(&error.story());
        }
    }
}

/// Said before anything is restored, since a restore runs what is in the snapshot.
fn tell_open(network: &NetworkFacts, watch: &dyn Watch) {
    if !network.is_closed() {
        watch.note(&format!(
            "the stage's server can reach the network: {}",
            network.by
        ));
    }
}

/// The image of the wanted major: one that was built offline, else the official one.
pub(super) async fn default_image(docker: &Docker, major: Option<u32>) -> Result<String> {
    let wanted = major.unwrap_or(DEFAULT_MAJOR);
    let own = format!("lockproof/postgres:{wanted}");
    let official = format!("postgres:{wanted}");
    Ok(
        if docker.has_image(&own).await? && !docker.has_image(&official).await? {
            own
        } else {
            official
        },
    )
}

impl Stage {
    /// How to reach it.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Docker(stage) => stage.endpoint(),
            Self::Local(stage) => stage.endpoint(),
            Self::Hooked(stage) => stage.endpoint(),
            Self::External(endpoint) => endpoint,
        }
    }

    /// Takes its data out of the kernel's memory; the server itself has none of them yet.
    ///
    /// # Errors
    /// The kernel cannot be asked for it there.
    pub async fn chill(&self) -> Result<()> {
        match self {
            Self::Docker(stage) => stage.chill().await,
            Self::Local(stage) => stage.chill().await,
            Self::Hooked(_) | Self::External(_) => {
                Err(Error::usage("an external server's memory is its owner's"))
            }
        }
    }

    /// The error that a lost server makes: how it ended, where that can be told, behind it what was
    /// noticed first, and the last lines of its log.
    pub async fn lost(&mut self, noticed: Error) -> Error {
        match self {
            Self::Docker(stage) => stage.lost(noticed).await,
            Self::Local(stage) => stage.lost(noticed).await,
            Self::Hooked(_) => noticed.help("see the clone's own log for why it went away"),
            Self::External(_) => noticed.help("see the server's own log for why it went away"),
        }
    }

    /// Client programs beside it.
    pub fn beside(&self) -> Beside {
        match self {
            Self::Docker(stage) => Beside::container(stage.programs()),
            Self::Local(stage) => Beside::local(stage.tools().clone()),
            Self::Hooked(_) | Self::External(_) => Beside::machine(),
        }
    }

    /// How its data were cloned; None: they were not.
    pub fn cloned(&self) -> Option<Cloned> {
        match self {
            Self::Docker(stage) => Some(*stage.cloned()),
            Self::Local(stage) => Some(*stage.cloned()),
            Self::Hooked(stage) => Some(stage.cloned()),
            Self::External(_) => None,
        }
    }

    /// What its server may reach; None: that is in others' hands.
    pub fn network(&self) -> Option<NetworkFacts> {
        match self {
            Self::Docker(stage) => Some(stage.network().clone()),
            Self::Local(stage) => Some(stage.network().clone()),
            Self::Hooked(_) | Self::External(_) => None,
        }
    }

    /// Ends it and removes what it used; leaves an external one alone.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn stop(self) -> Result<()> {
        match self {
            Self::Docker(stage) => stage.stop().await,
            Self::Local(stage) => stage.stop().await,
            Self::Hooked(stage) => stage.stop().await,
            Self::External(_) => Ok(()),
        }
    }

    /// Leaves it running; says how to connect and how to end it.
    pub fn keep(self) -> String {
        match self {
            Self::Docker(stage) => stage.keep(),
            Self::Local(stage) => stage.keep(),
            Self::Hooked(stage) => stage.keep(),
            Self::External(endpoint) => format!("the external server is at {}", endpoint.shown()),
        }
    }
}
