//! What every replay stands on: the stage's provider and the restored base.

use super::source::Source;
use crate::Result;
use crate::interrupt::Interrupt;
use crate::pg::{Session, names};
use crate::plan::{Plan, StageChoice};
use crate::replay::interrupted;
use crate::stage::provider::{Prepared, Provider};
use crate::stage::{Request, Watch, external};

/// The prepared ground.
pub struct Ground {
    /// Makes stages.
    pub provider: Provider,
    /// The restored base.
    pub base: Prepared,
    /// What it was restored from.
    pub source: Source,
}

/// Chooses a stage and restores the snapshot, or finds it restored.
pub async fn prepare(
    plan: &Plan,
    run_id: &str,
    watch: &dyn Watch,
    interrupt: &Interrupt,
) -> Result<Ground> {
    let choosing = async {
        let source = Source::load(&plan.snapshot, &plan.stage.cache, watch).await?;
        let provider = Provider::choose(&plan.stage, source.major(), watch).await?;
        if let StageChoice::External {
            endpoint,
            confirmation,
        } = &plan.stage.choice
        {
            let door = Session::open(endpoint, names::OBSERVER)
                .await
                .map_err(|error| {
                    error.or_help(
                        "see whether the server runs there and lets this role in: `psql` with the \
                         same URL tells",
                    )
                })?;
            let suspicions = external::examine(&door.client, endpoint).await?;
            external::refuse(&suspicions, &endpoint.database, confirmation.as_deref())?;
        }
        Ok((source, provider))
    };
    let (source, provider) = tokio::select! {
        chosen = choosing => chosen?,
        signal = interrupt.wait() => return Err(interrupted(signal)),
    };
    let request = Request {
        run_id: run_id.to_owned(),
        settings: plan.stage.settings.clone(),
        database: source.database(),
        base_digest: source.digest(),
        server_major: plan.stage.pg_major.or(source.major()),
        cache: plan.stage.cache.clone(),
    };
    let prepared = tokio::select! {
        base = provider.prepare(&request, &source, watch) => Some(base?),
        _ = interrupt.wait() => None,
    };
    // The future that prepared is dropped by now, and with it its locks.
    let Some(base) = prepared else {
        provider.abandon(run_id, watch).await;
        return Err(interrupted(interrupt.wait().await));
    };
    Ok(Ground {
        provider,
        base,
        source,
    })
}
