//! Everything that is restored and kept, in a cache folder and on a container engine, with one face.
//!
//! Lists it and removes from it. Nothing in use is removed: that is asked again
//! under the lock of each base, not believed from the list.

use std::path::Path;

pub use super::cached::Cached;
use super::docker::Docker;
pub use super::prune::{Keep, Odd, Reason, odd, prunable};
use super::{StageKind, local};
use crate::{Error, Result};

/// All that is restored, by the snapshot's name and then by id; without an engine, what is in the folder.
///
/// # Errors
/// The engine answered, and then did not say what it has.
pub async fn list(cache: &Path, engine: Option<&Docker>) -> Result<Vec<Cached>> {
    let mut all = local::list(cache);
    if let Some(docker) = engine {
        all.extend(docker.bases().await?);
    }
    all.sort_by(|a, b| (&a.snapshot, &a.id).cmp(&(&b.snapshot, &b.id)));
    Ok(all)
}

/// Removes one of them.
///
/// # Errors
/// It is in use, or cannot be removed.
pub async fn remove(cache: &Path, engine: Option<&Docker>, cached: &Cached) -> Result<()> {
    let gone = match (cached.stage, engine) {
        (StageKind::Docker, Some(docker)) => docker.remove_base(&cached.key).await?,
        (StageKind::Local, _) => {
            local::remove_base(cache, &cached.key)?;
            true
        }
        _ => {
            return Err(Error::defect(
                "a volume was to be removed without its engine",
            ));
        }
    };
    if gone {
        return Ok(());
    }
    Err(
        Error::stage(format!("the restored snapshot `{}` is in use", cached.id))
            .help("wait for the run that uses it, or end it; a stage that was kept ends with `lockproof clean --all`"),
    )
}
