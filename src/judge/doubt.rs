//! Where what ran beside the migration was not what was asked for: what was measured then tells less than it seems to.
//! Pure.

use std::time::Duration;

use super::Verdict;
use crate::analyse::impact::{Latency, OperationFacts};
use crate::analyse::{Replay, StepFacts, TrafficFacts};
use crate::plan::{Begins, Impact, Increase, Load};
use crate::recording::format::{Header, Quantiles};
use crate::recording::traffic::{Ending, TrafficHeader, TrafficSummary, Window};

/// What was not as it was asked for.
#[derive(Debug, Clone)]
pub enum Doubt {
    /// The traffic ended before its time.
    TrafficBroke {
        /// Why; None: the recording ends before it.
        error: Option<String>,
    },
    /// Already before the first step not every request had its turn and its answer.
    RateNotHeld {
        /// Requests a second that were asked for.
        rate: f64,
        /// Requests that were due, and begun, in the whole replay.
        begun: (u64, u64),
        /// Of those due before the first step, and answered before it; None: there was no time before it.
        baseline: Option<(u64, u64)>,
        /// How long those waited for a connection.
        wait: Quantiles,
    },
    /// The generator itself was late.
    TrafficLate {
        /// How late.
        lateness: Quantiles,
        /// The growth of the 99th percentile that it is to be measured against; None: there is no such budget.
        allowed: Option<Duration>,
    },
    /// A disturbance was never in place, or did not stay.
    DisturbanceMissing {
        /// Its name.
        name: String,
        /// Whether it ever was in place.
        presence: Presence,
    },
    /// The program of the step was not seen to change anything.
    NothingDone {
        /// Sessions of it, where they could be counted.
        sessions: Option<u64>,
        /// Relations that were changed, and nothing tells by whom, or whether it was committed.
        unclear: Vec<String>,
    },
    /// It may do nothing, and nothing tells whether it reached the stage.
    NotSeen,
    /// It did less than in an earlier replay.
    DidLess {
        /// What is missing, in the order of names.
        missing: Vec<Missing>,
    },
    /// What it did could not be asked for.
    EffectsUnread {
        /// Why.
        error: String,
    },
    /// Others were on the server, so that what changed may be theirs.
    OthersToo,
    /// Others came to an external server that is measured on.
    ForeignClients {
        /// How many at once, at the most.
        most: u64,
        /// Their names.
        applications: Vec<String>,
    },
}

/// What an earlier replay of a program did and a later one did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It changed a relation.
    Relation(String),
    /// It changed more rows of it.
    Rows {
        /// The relation.
        relation: String,
        /// Rows of the earlier replay.
        earlier: u64,
        /// Rows of this one.
        now: u64,
    },
    /// It changed one of the system's own tables.
    Catalogue(String),
    /// It changed anything at all.
    Everything,
}

/// How much of a disturbance there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// None.
    Never,
    /// It ended by itself, and why.
    Broke(String),
}

/// A part of all requests that is nothing to speak of: one in so many.
const ONE_IN: u64 = 100;
/// A generator this late has not had its turn on this machine.
const LATE: Duration = Duration::from_millis(50);
/// A pool whose longest wait is shorter is only busy.
const WAITED: Duration = Duration::from_millis(100);

/// What there is to say at a step, and what each makes of its verdict.
pub fn judge(
    header: &Header,
    replay: &Replay,
    facts: &StepFacts,
    limits: Impact,
) -> Vec<(Doubt, Verdict)> {
    let mut found = Vec::new();
    if let (Some(planned), Some(traffic)) = (&header.traffic, &replay.traffic) {
        found.extend(of_traffic(planned, replay, traffic, facts, limits));
    }
    found.extend(missing(header, replay, facts.step));
    found
}

/// Whatever a budget depends on is said at each step that has it, all else once.
fn of_traffic(
    planned: &TrafficHeader,
    replay: &Replay,
    traffic: &TrafficFacts,
    facts: &StepFacts,
    limits: Impact,
) -> Vec<(Doubt, Verdict)> {
    let of_latency = limits.timeouts.is_some() || limits.p99_increase.is_some();
    let of_waits = limits.blocked_requests.is_some() || limits.victim_wait.is_some();
    let first = facts.step == 0;
    let mut found = Vec::new();
    let mut say = |doubt: Option<Doubt>, depends: bool| match doubt {
        Some(doubt) if depends => found.push((doubt, Verdict::Unproven)),
        Some(doubt) if first => found.push((doubt, Verdict::Within)),
        _ => {}
    };
    let depends = of_latency || of_waits;
    let Some(summary) = &traffic.summary else {
        // That the recording was cut is said already; here it is a budget's last requests that are missing.
        say(
            depends.then_some(Doubt::TrafficBroke { error: None }),
            depends,
        );
        return found;
    };
    let broke = summary.error.clone();
    let broke = broke.map(|error| Doubt::TrafficBroke { error: Some(error) });
    say(broke, depends);
    say(rate_not_held(planned, replay, traffic, summary), of_latency);
    let allowed = limits
        .p99_increase
        .and_then(|limit| allowed(limit, traffic));
    let late = summary.lateness.p99 > LATE
        || allowed.is_some_and(|allowed| summary.lateness.p99.saturating_mul(2) > allowed);
    let late = late.then_some(Doubt::TrafficLate {
        lateness: summary.lateness,
        allowed,
    });
    say(late, allowed.is_some());
    found
}

/// A closed loop has no rate to hold.
fn rate_not_held(
    planned: &TrafficHeader,
    replay: &Replay,
    traffic: &TrafficFacts,
    summary: &TrafficSummary,
) -> Option<Doubt> {
    let Load::Open { rate, .. } = planned.load else {
        return None;
    };
    let baseline = baseline(replay, traffic);
    let wait = summary.baseline_wait;
    // A queue that only grows has half of those in it wait for about half of the longest wait.
    let grows = wait.max > WAITED && wait.p50.saturating_mul(4) >= wait.max;
    let overrun = baseline.is_some_and(|baseline| {
        is_short(baseline.due, baseline.ended.saturating_sub(baseline.lost))
            && (grows || is_short(baseline.due, baseline.due.saturating_sub(baseline.lost)))
    });
    (overrun || is_short(summary.due, summary.begun)).then(|| Doubt::RateNotHeld {
        rate,
        begun: (summary.due, summary.begun),
        baseline: baseline.map(|baseline| {
            let answered = baseline.ended.saturating_sub(baseline.lost);
            (baseline.due, answered)
        }),
        wait,
    })
}

fn is_short(due: u64, done: u64) -> bool {
    due.saturating_sub(done) > due / ONE_IN
}

/// Requests before the first step.
#[derive(Debug, Clone, Copy)]
struct Baseline {
    /// Due in its slices; those of its last, begun one are not in it.
    due: u64,
    /// Ended in it, whenever they were due.
    ended: u64,
    /// Of these, without an answer: the pool or the time was too short.
    lost: u64,
}

fn baseline(replay: &Replay, traffic: &TrafficFacts) -> Option<Baseline> {
    let until = replay.steps.first()?.started.since(replay.started);
    let slices = traffic.slices.iter().filter(|slice| slice.to <= until);
    let due = sum(slices
        .flat_map(|slice| slice.operations.values())
        .map(|facts| facts.latency.count));
    let none = std::collections::BTreeMap::new();
    let operations = traffic.windows.get(&Window::Baseline).unwrap_or(&none);
    let lost = |facts: &OperationFacts| {
        let of = |ending| facts.endings.counts.get(&ending).copied().unwrap_or(0);
        of(Ending::TimedOut).saturating_add(of(Ending::Refused))
    };
    (due > 0).then(|| Baseline {
        due,
        ended: sum(operations.values().map(|facts| facts.latency.count)),
        lost: sum(operations.values().map(lost)),
    })
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// By how much the 99th percentile of that operation may grow that may least.
fn allowed(limit: Increase, traffic: &TrafficFacts) -> Option<Duration> {
    match limit {
        Increase::By(time) => Some(time),
        Increase::Percent(percent) => {
            let usual = traffic.windows.get(&Window::Baseline)?.values();
            usual
                .map(|facts| facts.latency)
                .filter(|latency: &Latency| latency.count > 0)
                .map(|latency| latency.quantiles.p99.mul_f64(percent / 100.0))
                .min()
        }
    }
}

/// What begins at a time belongs to the first step, all else to the one that it begins with.
fn missing(header: &Header, replay: &Replay, step: usize) -> Vec<(Doubt, Verdict)> {
    let concerns = |begins: &Begins| match begins {
        Begins::After(_) => step == 0,
        Begins::With(with) => *with == step,
    };
    let declared = header.disturbances.iter().enumerate();
    declared
        .filter(|(_, declared)| concerns(&declared.begins))
        .filter_map(|(place, declared)| {
            let mut facts = replay.disturbances.iter();
            let presence = match facts.find(|facts| facts.disturbance == place) {
                None => Presence::Never,
                Some(facts) => Presence::Broke(facts.error.clone()?),
            };
            let name = declared.name.clone();
            Some(Doubt::DisturbanceMissing { name, presence })
        })
        .map(|doubt| (doubt, Verdict::Unproven))
        .collect()
}
