//! `lockproof clean`: removes what earlier runs left behind, and nothing of a run that goes on.

use std::path::{Path, PathBuf};

use lockproof::exit_code::ExitCode;
use lockproof::snapshot::create::sweep_creations;
use lockproof::snapshot::{Manifest, Source};
use lockproof::stage::Watch;
use lockproof::stage::docker::{self, Docker, Sweep};
use lockproof::stage::hooked;
use lockproof::stage::local::{self, Kept};
use lockproof::{Error, Result, cli, config, keeper};

use crate::terminal::{Screen, print};

/// Sweeps containers and local servers.
pub async fn clean(arguments: &cli::Clean, screen: &Screen) -> Result<ExitCode> {
    let cache = config::cache(arguments.cache.folder.as_deref())?;
    let (sweep, kept) = if arguments.all {
        (Sweep::Everything, Kept::End)
    } else {
        (Sweep::Abandoned, Kept::Spare)
    };
    screen.phase("ending programs that were left running");
    // First, so that none writes to a server that is to go, or says a word after we did.
    let mut removed: Vec<String> = keeper::end_left();
    screen.phase("looking for what was left on the container engine");
    match Docker::connect().await {
        Ok(docker) => removed.extend(docker.clean(sweep, &cache).await?),
        Err(error) => screen.say(&format!("no containers looked for: {error}")),
    }
    let shown = |path: &PathBuf| path.display().to_string();
    removed.extend(docker::sweep_connections()?.iter().map(shown));
    screen.phase("looking for what was left in the cache");
    let swept = local::sweep(&cache, kept, screen).await?;
    removed.extend(swept.removed.iter().map(shown));
    removed.extend(sweep_creations(&cache, screen)?.iter().map(shown));
    let clones = clones(&cache, kept, screen).await?;
    removed.extend(clones.ended);
    screen.finish();
    for line in &removed {
        print(&format!("removed {line}\n"))?;
    }
    for path in &swept.left {
        screen.say(&format!("left, it is in use: {}", path.display()));
    }
    for error in &clones.failures {
        screen.error(error);
    }
    if !clones.failures.is_empty() {
        return Ok(ExitCode::Stage);
    }
    if removed.is_empty() && swept.left.is_empty() {
        screen.say("nothing was left behind");
    }
    Ok(ExitCode::Within)
}

/// What became of the clones of ended runs.
#[derive(Default)]
struct Clones {
    ended: Vec<String>,
    failures: Vec<Error>,
}

/// Ends them with the programs that their snapshots name.
async fn clones(cache: &Path, kept: Kept, screen: &Screen) -> Result<Clones> {
    let mut clones = Clones::default();
    for left in hooked::left(cache)? {
        if left.is_kept() && kept == Kept::Spare {
            screen.say(&format!(
                "left, it was kept: the clone `{}` at {}",
                left.id(),
                left.place()
            ));
            continue;
        }
        let id = left.id().to_owned();
        let unknown = |why: String| {
            Error::stage(format!("the clone `{id}` cannot be ended: {why}")).help(format!(
                "end it by hand, then remove `{}`",
                left.path().display()
            ))
        };
        let hooks = match Manifest::load(left.folder()) {
            Ok((
                Manifest {
                    source: Source::Hooks(hooks),
                    ..
                },
                _,
            )) => hooks,
            Ok(_) => {
                let why = format!(
                    "the snapshot in `{}` has no hooks any more",
                    left.folder().display()
                );
                clones.failures.push(unknown(why));
                continue;
            }
            Err(error) => {
                clones.failures.push(unknown(error.to_string()));
                continue;
            }
        };
        match left.teardown(&hooks, screen).await {
            Ok(()) => clones.ended.push(format!("clone {id}")),
            Err(error) => clones.failures.push(error),
        }
    }
    Ok(clones)
}
