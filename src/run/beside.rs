//! What runs beside the steps of a replay: its traffic, from before the first step until after the last.

use std::time::Duration;

use super::conductor::Conductor;
use crate::clock::{Clock, Mono};
use crate::interrupt::Interrupt;
use crate::observe::Sampler;
use crate::plan::Plan;
use crate::replay::interrupted;
use crate::stage::{Endpoint, Watch};
use crate::traffic::{Generator, Setup};
use crate::{Error, Result};

/// Requests under way when a step has failed may take so long to end: nobody learns from more.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// How the steps of a replay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// All of them ran.
    Whole,
    /// One failed.
    Failed,
}

/// What a quiet stretch is ended by.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// Ends everything.
    pub interrupt: &'a Interrupt,
    /// Without which nothing is measured.
    pub sampler: &'a Sampler,
    /// Who is shown the progress.
    pub watch: &'a dyn Watch,
}

/// What runs beside the steps.
pub struct Beside {
    clock: Clock,
    traffic: Option<Generator>,
    settle: Duration,
}

impl Beside {
    /// Starts it, and lets it run alone for as long as shows what is usual.
    ///
    /// # Errors
    /// It cannot run; or a signal came, or the sampler was lost.
    pub async fn start(
        plan: &Plan,
        endpoint: &Endpoint,
        clock: Clock,
        conductor: &Conductor,
        patience: Patience<'_>,
    ) -> Result<Self> {
        let Some(traffic) = &plan.traffic else {
            return Ok(Self {
                clock,
                traffic: None,
                settle: Duration::ZERO,
            });
        };
        patience.watch.phase("traffic: trying each operation");
        let setup = Setup {
            endpoint: endpoint.clone(),
            traffic: traffic.clone(),
            clock,
            events: conductor.events().clone(),
        };
        let generator = patience.lasting(Generator::start(setup)).await??;
        let beside = Self {
            clock,
            traffic: Some(generator),
            settle: traffic.settle,
        };
        let quiet = patience.quiet("baseline", traffic.baseline).await;
        match quiet {
            Ok(()) => Ok(beside),
            Err(error) => {
                beside.abort().await;
                Err(error)
            }
        }
    }

    /// The next step begins now.
    pub fn step_begins(&self) -> Mono {
        match &self.traffic {
            Some(traffic) => traffic.marks().begin(),
            None => self.clock.now(),
        }
    }

    /// The step under way ends now.
    pub fn step_ends(&self) -> Mono {
        match &self.traffic {
            Some(traffic) => traffic.marks().end(),
            None => self.clock.now(),
        }
    }

    /// Ends it in good order: after all steps it goes on for a while, and what it has begun may end.
    ///
    /// # Errors
    /// A signal came, or the sampler was lost.
    pub async fn finish(self, steps: Steps, patience: Patience<'_>) -> Result<()> {
        let Some(traffic) = self.traffic else {
            return Ok(());
        };
        traffic.marks().over();
        if steps == Steps::Failed {
            traffic.stop_within(AFTER_A_FAILURE).await;
            return Ok(());
        }
        if let Err(error) = patience.quiet("settling", self.settle).await {
            traffic.abort().await;
            return Err(error);
        }
        // Dropped by an interrupt, it ends at once.
        patience.lasting(traffic.stop()).await
    }

    /// Ends it at once.
    pub async fn abort(self) {
        if let Some(traffic) = self.traffic {
            traffic.abort().await;
        }
    }
}

impl Patience<'_> {
    /// Nothing but traffic for so long.
    async fn quiet(self, what: &str, duration: Duration) -> Result<()> {
        if !duration.is_zero() {
            self.watch.phase(&format!("traffic: {what}, {duration:?}"));
        }
        self.lasting(tokio::time::sleep(duration)).await
    }

    /// Waits for something, but not past a signal or the sampler's end.
    async fn lasting<T>(self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            signal = self.interrupt.wait() => Err::<T, Error>(interrupted(signal)),
            error = self.sampler.lost() => Err(error),
        }
    }
}
