//! `lockproof snapshot rm`: removes what is named, unless it is in use.

use lockproof::exit_code::ExitCode;
use lockproof::stage::cache::Cached;
use lockproof::{Result, cli};

use super::Shelf;
use super::pick::pick;
use super::shown::{id, kind, size};
use crate::terminal::{Screen, print};

/// Removes them; one that cannot be removed keeps none of the others.
pub async fn rm(arguments: &cli::SnapshotRm, screen: &Screen) -> Result<ExitCode> {
    let shelf = Shelf::look(arguments.cache.folder.as_deref(), screen).await?;
    // All of them before the first goes: a slip of the pen removes nothing.
    let mut meant: Vec<&Cached> = Vec::new();
    for typed in &arguments.ids {
        let cached = pick(&shelf.cached, typed)?;
        if !meant.contains(&cached) {
            meant.push(cached);
        }
    }
    let mut failure = None;
    for cached in meant {
        match shelf.remove(cached).await {
            Ok(()) => print(&format!("removed {}\n", words(cached)))?,
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    screen.error(&earlier);
                }
            }
        }
    }
    screen.finish();
    failure.map_or(Ok(ExitCode::Within), Err)
}

/// `3f9c… listings, local, 1.1 GB`.
pub fn words(cached: &Cached) -> String {
    let name = cached.snapshot.as_deref().unwrap_or("unnamed");
    format!(
        "{} {name}, {}, {}",
        id(cached),
        kind(cached),
        size(cached.bytes)
    )
}
