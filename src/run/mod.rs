//! The conductor of a run: starts everything, lets events go one way, ends everything in order.
//!
//! Interprets nothing: what happened is the recording's, what it means the analysis' and the judge's.

mod age;
mod base;
mod beside;
mod company;
mod conductor;
mod effects;
mod foreign;
mod ground;
mod limits;
mod many;
mod replays;
mod secrets;
mod source;
mod turns;

use crate::analyse::Timeline;
use crate::clock::{self, Clock};
use crate::interrupt::Interrupt;
use crate::judge::{self, Judgement};
use crate::plan::traffic::SLICE;
use crate::plan::{Plan, Work};
use crate::recording::format::{Header, StepHeader, VERSION};
use crate::recording::traffic::{DisturbanceHeader, TrafficHeader};
use crate::report::{Report, build};
use crate::stage::Watch;
use crate::{Error, Result};

pub use base::restore;
pub use conductor::{Conductor, Sink};
pub use many::{Ended, Job, many};

use company::{Company, Member};

/// Gaps between samples up to this length are not told one by one, nor gaps of half the tightest
/// budget.
const GAP_FLOOR: std::time::Duration = std::time::Duration::from_millis(10);

/// What a run came to.
#[derive(Debug)]
pub struct Finished {
    /// All that happened.
    pub timeline: Timeline,
    /// What it means.
    pub judgement: Judgement,
    /// The same, to be shown.
    pub report: Report,
    /// How to reach the stage; None unless it was to be kept.
    pub kept: Option<String>,
    /// What went wrong beside the verdict: the stage was lost, the recording is not whole.
    pub trouble: Option<Error>,
}

/// Runs a plan.
///
/// # Errors
/// The stage could not be brought up, or a signal came. A broken budget and a failing statement are
/// part of the report, not errors; so is a stage that is lost half-way, with what was seen so far.
pub async fn run(
    plan: &Plan,
    notes: &[String],
    watch: &dyn Watch,
    interrupt: &Interrupt,
    recording: Option<Sink>,
) -> Result<Finished> {
    let alone = Company::of(1);
    run_in(&alone, plan, notes, watch, interrupt, recording).await
}

/// Runs a plan beside others.
async fn run_in(
    company: &Company,
    plan: &Plan,
    notes: &[String],
    watch: &dyn Watch,
    interrupt: &Interrupt,
    recording: Option<Sink>,
) -> Result<Finished> {
    // From the restore on, which is as heavy a neighbour as any step.
    let member = company.join();
    secrets::learn(plan);
    let header = header(plan, notes, &member);
    let run_id = header.run_id.clone();
    let clock = Clock::start();
    // Before the restore, so that a run that ends there leaves a recording that says so.
    let mut conductor = conductor::Conductor::start(header, plan.policy.clone(), recording)?;
    let replayed = match ground::prepare(plan, &run_id, watch, interrupt).await {
        Ok(ground) => {
            replays::replay(
                plan,
                &run_id,
                &ground,
                clock,
                watch,
                interrupt,
                &member,
                &mut conductor,
            )
            .await
        }
        Err(error) => Err(error),
    };
    let (timeline, recorded) = conductor.finish()?;
    let (kept, trouble) = match replayed {
        Ok(replays::Ended::Whole { kept }) => (kept, None),
        Ok(replays::Ended::StageLost(error)) => (None, Some(error)),
        Err(error) => return Err(error),
    };
    let judgement = judge::judge(&timeline, &plan.policy);
    Ok(Finished {
        report: build::build(&timeline, &judgement, &plan.policy),
        timeline,
        judgement,
        kept,
        trouble: trouble.or(recorded.err()),
    })
}

fn header(plan: &Plan, notes: &[String], member: &Member) -> Header {
    Header {
        lockproof_recording: VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        run_id: run_id(),
        started_at: clock::wall(),
        scenario: plan.scenario.clone(),
        policy: plan.policy.clone(),
        steps: plan
            .steps
            .iter()
            .map(|step| StepHeader {
                name: step.name.clone(),
                kind: step.work.kind(),
                budgets: step.budgets.clone(),
                impact: step.impact,
                lock_timeout_ns: Some(step.lock_timeout.map_or(0, |timeout| {
                    u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
                })),
                wrap: match &step.work {
                    Work::Sql(work) => Some(work.wrap),
                    _ => None,
                },
                by_key: match &step.work {
                    Work::Batch(work) => Some(work.after.is_some()),
                    _ => None,
                },
                may_do_nothing: match &step.work {
                    Work::Command(work) => work.may_do_nothing,
                    _ => false,
                },
            })
            .collect(),
        traffic: plan.traffic.as_ref().map(|traffic| TrafficHeader {
            operations: traffic
                .operations
                .iter()
                .map(|operation| (operation.name.clone(), operation.weight))
                .collect(),
            load: traffic.load,
            front: traffic.front,
            baseline: traffic.baseline,
            settle: traffic.settle,
            seed: traffic.seed,
            slice: SLICE,
        }),
        disturbances: plan
            .disturbances
            .iter()
            .map(|disturbance| DisturbanceHeader {
                name: disturbance.name.clone(),
                kind: disturbance.kind.name().to_owned(),
                begins: disturbance.begins.clone(),
            })
            .collect(),
        interval: plan.interval,
        cadence: plan.cadence,
        gap_floor: gap_floor(plan),
        replays: plan.replays,
        repeat: plan.repeat,
        jobs: member.at_once(),
        literals: plan.literals,
        notes: notes.to_vec(),
    }
}

/// A gap that matters is told: the floor is well below the tightest budget.
fn gap_floor(plan: &Plan) -> std::time::Duration {
    let holds = plan.policy.budgets.iter();
    let holds = holds.chain(plan.steps.iter().flat_map(|step| &step.budgets));
    let felt = plan.steps.iter().map(|step| step.impact);
    let felt = felt.chain([plan.policy.impact]);
    let felt = felt.flat_map(|impact| [impact.exclusion, impact.victim_wait]);
    holds
        .map(|budget| budget.limit)
        .chain(felt.flatten())
        .map(|limit| limit / 2)
        .min()
        .map_or(GAP_FLOOR, |half| GAP_FLOOR.min(half))
}

/// A new identity of a run: twelve hexadecimal digits.
pub fn run_id() -> String {
    format!("{:012x}", rand::random::<u64>() >> 16)
}
