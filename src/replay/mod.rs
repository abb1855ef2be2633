//! Runs the steps against a stage and tells what it did and when. Knows nothing of budgets.

mod allowance;
mod batch;
pub mod command;
mod place;
mod retry;
mod session;
mod sql;
mod way;

use std::time::Duration;

use crossbeam_channel::Sender;

use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::observe::Sampler;
use crate::pg::names::MIGRATION_PREFIX;
use crate::plan::{Literals, Step, Work};
use crate::recording::format::{Event, Outcome};
use crate::sql::told;
use crate::stage::{Endpoint, Watch};
use crate::{Result, redact};

/// What a step runs with.
pub struct Scene<'a> {
    /// The server.
    pub endpoint: &'a Endpoint,
    /// True for a stage that lockproof made.
    pub is_ours: bool,
    /// Asked for a poll wherever one tightens the bounds.
    pub sampler: &'a Sampler,
    /// Where events go.
    pub events: &'a Sender<Event>,
    /// The run's clock.
    pub clock: Clock,
    /// Ends everything.
    pub interrupt: &'a Interrupt,
    /// Whether literals may be told.
    pub literals: Literals,
    /// Who is shown the progress.
    pub watch: &'a dyn Watch,
}

/// How a step went.
#[derive(Debug)]
pub struct Course {
    /// How it ended.
    pub outcome: Outcome,
    /// Attempts that it took.
    pub attempts: u32,
    /// Server processes of its sessions.
    pub pids: Vec<i32>,
    /// Whether its own connection broke, so that the server may be gone.
    pub connection: Connection,
    /// What its program left behind; None: it had no program.
    pub remains: Option<command::Remains>,
}

/// What became of the step's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// It was closed in an orderly way, or there was none.
    Closed,
    /// It broke.
    Broken,
}

/// Runs a step to its end.
///
/// # Errors
/// The sampler is gone, or the run was interrupted. A step that fails is an [`Outcome`].
pub async fn run(scene: &Scene<'_>, step: &Step) -> Result<Course> {
    match &step.work {
        Work::Sql(work) => sql::run(scene, step, work).await,
        Work::Batch(work) => batch::run(scene, step, work).await,
        Work::Command(work) => command::run(scene, step, work).await,
    }
}

impl Scene<'_> {
    fn tell(&self, event: Event) {
        // Nobody listens only when the run has been given up.
        let _ = self.events.send(event);
    }

    fn shown(&self, sql: &str) -> String {
        told(redact::sql::shown(sql, self.literals))
    }

    /// Rests, but not longer than until an interrupt.
    async fn rest(&self, duration: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            signal = self.interrupt.wait() => Err(interrupted(signal)),
            error = self.sampler.lost() => Err(error),
        }
    }
}

/// The step's `application_name`; at most 63 bytes, which is all that the server keeps.
pub fn application(step: &Step) -> String {
    let name = format!("{MIGRATION_PREFIX} {}", step.name);
    name[..name.floor_char_boundary(63)].to_owned()
}

/// The error of a run that a signal ended.
pub fn interrupted(signal: i32) -> crate::Error {
    crate::Error::new(
        crate::error::Trouble::Signal(signal),
        format!("interrupted by signal {signal}"),
    )
}
