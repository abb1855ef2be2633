//! Restores a snapshot without running anything, so that the first run finds it restored.

use crate::Result;
use crate::interrupt::Interrupt;
use crate::plan::StagePlan;
use crate::replay::interrupted;
use crate::snapshot::Snapshot;
use crate::stage::provider::Provider;
use crate::stage::{Request, Watch};

/// Restores it where a run with the same options would look for it.
///
/// # Errors
/// There is no stage to restore on, or the restore failed.
pub async fn restore(
    snapshot: &Snapshot,
    stage: &StagePlan,
    run_id: &str,
    watch: &dyn Watch,
    interrupt: &Interrupt,
) -> Result<()> {
    let major = snapshot.major();
    let origin = snapshot.origin()?;
    // As a run has them: what was asked for wins over what travels with the snapshot.
    let mut settings = stage.settings.clone();
    for (name, value) in &snapshot.manifest.travels.settings {
        settings
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    let provider = tokio::select! {
        provider = Provider::choose(stage, major, &origin, watch) => provider?,
        signal = interrupt.wait() => return Err(interrupted(signal)),
    };
    let request = Request {
        run_id: run_id.to_owned(),
        settings,
        database: snapshot.manifest.database.clone(),
        base_digest: snapshot.digest.clone(),
        server_major: stage.pg_major.or(major),
        cache: stage.cache.clone(),
        network: stage.network,
    };
    let signal = tokio::select! {
        base = provider.prepare(&request, snapshot, watch) => return base.map(drop),
        signal = interrupt.wait() => signal,
    };
    provider.abandon(run_id, watch).await;
    Err(interrupted(signal))
}
