//! `lockproof clean`: removes what earlier runs left behind, and nothing of a run that goes on.

use lockproof::exit_code::ExitCode;
use lockproof::stage::Watch;
use lockproof::stage::docker::{Docker, Sweep};
use lockproof::stage::local::{self, Kept};
use lockproof::{Result, cli, config};

use crate::terminal::{Screen, print};

/// Sweeps containers and local servers.
pub async fn clean(arguments: &cli::Clean, screen: &Screen) -> Result<ExitCode> {
    let cache = config::cache(arguments.cache.as_deref())?;
    let (sweep, kept) = if arguments.all {
        (Sweep::Everything, Kept::End)
    } else {
        (Sweep::Abandoned, Kept::Spare)
    };
    let mut removed = Vec::new();
    screen.phase("looking for what was left on the container engine");
    match Docker::connect().await {
        Ok(docker) => removed.extend(docker.clean(sweep).await?),
        Err(error) => screen.say(&format!("no containers looked for: {error}")),
    }
    screen.phase("looking for what was left in the cache");
    let swept = local::sweep(&cache, kept, screen).await?;
    removed.extend(swept.removed.iter().map(|path| path.display().to_string()));
    screen.finish();
    for line in &removed {
        print(&format!("removed {line}\n"))?;
    }
    for path in &swept.left {
        screen.say(&format!("left, it is in use: {}", path.display()));
    }
    if removed.is_empty() && swept.left.is_empty() {
        screen.say("nothing was left behind");
    }
    Ok(ExitCode::Within)
}
