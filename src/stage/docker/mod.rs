//! A stage in a container of Docker or Podman: a restored base in a volume, a fresh clone per run.
//!
//! Answers how to get such a server and how to be rid of it; restores nothing itself (`Fill` does)
//! and judges nothing. No bollard type leaves this folder. Everything made carries labels from its
//! first moment, so that `clean` finds it whenever a process or a future ended too early.

#![expect(clippy::disallowed_types, reason = "bollard's own API is of hash maps")]

mod address;
mod attend;
mod base;
mod clean;
mod cold;
mod container;
mod dump;
mod engine;
mod entrance;
mod exec;
mod image;
mod last_words;
mod lay;
mod limits;
mod owner;
mod place;
mod ready;
mod run;
mod shelf;
mod socket_folder;
mod spec;
mod ssh;
mod tail;
mod usage;

pub use base::Base;
pub use clean::{Leftover, LeftoverKind, Sweep};
pub use engine::EngineInfo;
pub(super) use exec::Programs;
pub use image::ImageInfo;
pub use limits::Limits;
pub use owner::Owner;
pub use run::DockerStage;

use std::path::{Path, PathBuf};

use crate::Result;
use crate::stage::cached::Cached;
use crate::stage::dump::Dump;
use crate::stage::{Endpoint, Fill, Network, Request, ToolOutput, Watch};

/// Removes what connections to engines and servers left on this machine whose processes were killed; asks no engine.
///
/// # Errors
/// A folder of theirs cannot be removed.
pub fn sweep_connections() -> Result<Vec<PathBuf>> {
    socket_folder::sweep(&std::env::temp_dir())
}
/// How long an engine may take over a request that was given up.
const SETTLING: std::time::Duration = std::time::Duration::from_millis(400);

/// The provider: a container engine that answered.
#[derive(Clone)]
pub struct Docker {
    engine: engine::Engine,
}

impl Docker {
    /// The engine that `DOCKER_HOST` or Docker's current context names; otherwise the first socket of
    /// Docker or Podman that answers.
    pub async fn connect() -> Result<Self> {
        Ok(Self {
            engine: engine::Engine::connect().await?,
        })
    }

    /// The engine at this address (`unix://…`, `tcp://…`, `ssh://…`) and no other.
    pub async fn connect_to(host: &str) -> Result<Self> {
        Ok(Self {
            engine: engine::Engine::connect_to(host).await?,
        })
    }

    /// What answers, for `lockproof doctor`.
    pub async fn describe(&self) -> Result<EngineInfo> {
        self.engine.describe().await
    }

    /// What its owner should know before a server is started there; None: nothing.
    pub fn exposure(&self, network: Network) -> Option<String> {
        match &self.engine.reach {
            // Without a network nothing is published.
            _ if network == Network::Closed => None,
            engine::Reach::Network(name) => Some(format!(
                "the engine is on another machine: its servers listen on all addresses of `{name}`, each with \
                 a random password (by ssh:// nothing is open to the network)"
            )),
            engine::Reach::Here | engine::Reach::Tunnel(_) => None,
        }
    }

    /// Whether the engine has the image, without asking any registry.
    pub async fn has_image(&self, image: &str) -> Result<bool> {
        image::exists(&self.engine, image).await
    }

    /// The image, pulled if it is not there.
    pub async fn ensure_image(&self, image: &str, watch: &dyn Watch) -> Result<ImageInfo> {
        image::ensure(&self.engine, image, watch).await
    }

    /// A restored base: the cached one, or a new one filled by `fill`. Pulls the image if need be.
    pub async fn prepare<F: Fill>(
        &self,
        image: &str,
        request: &Request,
        limits: &Limits,
        fill: &F,
        watch: &dyn Watch,
    ) -> Result<Base> {
        base::prepare(&self.engine, image, request, limits, fill, watch).await
    }

    /// A server on a fresh clone of the base, answering queries.
    pub async fn start(&self, base: &Base, watch: &dyn Watch) -> Result<DockerStage> {
        run::start(&self.engine, base, watch).await
    }

    /// Runs the image's `pg_dump` against a server elsewhere, into a folder of this machine that is not
    /// there yet.
    pub async fn dump(
        &self,
        image: &ImageInfo,
        endpoint: &Endpoint,
        run_id: &str,
        cache: &std::path::Path,
        dump: &Dump<'_>,
    ) -> Result<ToolOutput> {
        dump::dump(&self.engine, image, endpoint, run_id, cache, dump).await
    }

    /// The finished bases, by name.
    pub async fn bases(&self) -> Result<Vec<Cached>> {
        shelf::list(&self.engine).await
    }

    /// Everything of ours on the engine, also what is at work: `owner` tells.
    pub async fn list_leftovers(&self) -> Result<Vec<Leftover>> {
        clean::list(&self.engine).await
    }

    /// Removes what was left behind; says what it removed, a line each.
    pub async fn clean(&self, sweep: Sweep, cache: &Path) -> Result<Vec<String>> {
        clean::clean(&self.engine, sweep, cache).await
    }

    /// Removes one base, by the name that `list_leftovers` and `Base::name` give. False: it is in use.
    pub async fn remove_base(&self, name: &str) -> Result<bool> {
        clean::remove_base_named(&self.engine, name).await
    }

    /// Removes what one run made and had begun: looks until nothing more comes of a request that was
    /// given up.
    pub async fn abandon(&self, run_id: &str) -> Result<()> {
        let removing = async {
            for pause in [SETTLING, SETTLING * 2] {
                // What fails now is tried again: only the last word is told.
                let _ = clean::remove_run(&self.engine, run_id).await;
                tokio::time::sleep(pause).await;
            }
            clean::remove_run(&self.engine, run_id).await.map(drop)
        };
        self.engine.attended(removing).await?
    }

    /// Removes what one run made, once its futures are dropped: for the way out after a signal.
    /// What the engine was still making at that moment is left to `clean`.
    pub async fn remove_run(&self, run_id: &str) -> Result<Vec<String>> {
        self.engine
            .attended(clean::remove_run(&self.engine, run_id))
            .await?
    }
}
