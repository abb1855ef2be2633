//! What every replay stands on: the stage's provider and the restored base.

use super::age::Age;
use super::source::Source;
use crate::Result;
use crate::clock;
use crate::interrupt::Interrupt;
use crate::pg::{Session, names};
use crate::plan::{Plan, StageChoice};
use crate::replay::interrupted;
use crate::stage::provider::{Prepared, Provider};
use crate::stage::{Fill, Request, Watch, external};

/// The prepared ground.
pub struct Ground {
    /// Makes stages.
    pub provider: Provider,
    /// The restored base.
    pub base: Prepared,
    /// What it was restored from.
    pub source: Source,
    /// How old that is.
    pub age: Age,
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
        let age = age(&source, plan, watch)?;
        let provider =
            Provider::choose(&plan.stage, source.major(), &source.origin()?, watch).await?;
        if let StageChoice::External {
            endpoint,
            confirmation,
            production,
            taken,
        } = &plan.stage.choice
        {
            let refuse = |suspicions: &[external::Suspicion]| {
                external::refuse(suspicions, &endpoint.database, confirmation.as_deref())
            };
            // Nothing is sent to a server that is known by its name.
            let (production, notes) = external::Names::read(production)?.resolved().await;
            for note in notes {
                watch.note(&note);
            }
            refuse(&external::listed(endpoint, &production).await)?;
            let door = Session::open(endpoint, names::OBSERVER)
                .await
                .map_err(|error| {
                    error.or_help(
                        "see whether the server runs there and lets this role in: `psql` with the \
                         same URL tells",
                    )
                })?;
            let seen = external::examine(
                &door.client,
                endpoint,
                &production,
                taken.as_ref(),
                external::Looked::Server,
            )
            .await?;
            refuse(&seen)?;
        }
        Ok((source, age, provider))
    };
    let (source, age, provider) = tokio::select! {
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
        network: plan.stage.network,
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
        age,
    })
}

/// The snapshot's age; refuses one that is too old before anything is made for it.
fn age(source: &Source, plan: &Plan, watch: &dyn Watch) -> Result<Age> {
    let Some(manifest) = source.manifest() else {
        return Ok(Age::default());
    };
    let now = clock::wall();
    let age = Age::of(manifest, plan.max_age, now)?;
    if let Some(note) = age.note(manifest, now) {
        watch.note(&note);
    }
    Ok(age)
}
