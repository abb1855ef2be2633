//! `lockproof snapshot`: a file for each of its subcommands.

mod create;
mod inspect;
mod ls;
mod pick;
mod prune;
mod rm;
mod shown;

use std::path::{Path, PathBuf};

use lockproof::cli::SnapshotCommand;
use lockproof::exit_code::ExitCode;
use lockproof::stage::cache::{self, Cached};
use lockproof::stage::docker::Docker;
use lockproof::stage::local;
use lockproof::{Result, config};

use crate::terminal::Screen;

/// Does what was asked for.
pub async fn snapshot(command: &SnapshotCommand, screen: &Screen) -> Result<ExitCode> {
    match command {
        SnapshotCommand::Create(arguments) => create::create(arguments, screen).await,
        SnapshotCommand::Ls(arguments) => ls::ls(arguments, screen).await,
        SnapshotCommand::Inspect(arguments) => inspect::inspect(arguments, screen).await,
        SnapshotCommand::Rm(arguments) => rm::rm(arguments, screen).await,
        SnapshotCommand::Prune(arguments) => prune::prune(arguments, screen).await,
    }
}

/// What is restored, wherever it is.
struct Shelf {
    folder: PathBuf,
    engine: Option<Docker>,
    cached: Vec<Cached>,
}

impl Shelf {
    /// Looks into the cache folder and at the engine; without an engine that is said.
    async fn look(cache: Option<&Path>, screen: &Screen) -> Result<Self> {
        let folder = config::cache(cache)?;
        let engine = match Docker::connect().await {
            Ok(docker) => Some(docker),
            Err(error) => {
                screen.say(&format!("only this machine's cache folder: {error}"));
                None
            }
        };
        let closed = local::closed(&folder);
        if closed > 0 {
            screen.say(&format!(
                "not shown, since they belong to another account: {closed} in {}",
                folder.display()
            ));
        }
        Ok(Self {
            cached: cache::list(&folder, engine.as_ref()).await?,
            folder,
            engine,
        })
    }

    async fn remove(&self, cached: &Cached) -> Result<()> {
        cache::remove(&self.folder, self.engine.as_ref(), cached).await
    }
}
