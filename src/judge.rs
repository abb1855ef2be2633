//! Timeline × policy → findings and verdict. Pure.
//!
//! A step that was replayed several times is exceeded when any replay proves it, within when one
//! proves that and none disproves it, else unproven. Where all is measured repeatedly, each time is
//! judged like that by itself, and the worst counts. A gate fails closed.

mod doubt;
mod effects;
mod failed;
pub mod impact;
mod shut_out;

use std::time::Duration;

use crate::analyse::impact::{InForce, Wait};
use crate::analyse::{Blocked, Hold, Replay, StepFacts, Timeline};
use crate::bounds::{Bounds, Proof};
use crate::pg::LockMode;
use crate::plan::{Level, OnWarning, Policy};
use crate::recording::format::{Outcome, StepHeader, Trace};

pub use doubt::{Doubt, Missing, Presence};
pub use impact::Felt;
pub use shut_out::ShutOut;

/// A step's, or the run's, verdict.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Proved to keep its budgets.
    Within,
    /// Proved to break one.
    Exceeded,
    /// What was seen proves neither.
    Unproven,
    /// A statement or a program of it failed.
    Failed,
    /// It was not reached.
    NotRun,
}

impl Verdict {
    /// The verdict's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Exceeded => "exceeded",
            Self::Unproven => "unproven",
            Self::Failed => "failed",
            Self::NotRun => "not run",
        }
    }

    /// How much one such step weighs in the run's verdict.
    fn weight(self) -> u8 {
        match self {
            Self::Within => 0,
            Self::NotRun => 1,
            Self::Unproven => 2,
            Self::Exceeded => 3,
            Self::Failed => 4,
        }
    }
}

/// What was judged, and how it came out.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The run's verdict: that of its worst step.
    pub verdict: Verdict,
    /// One for each step of the scenario.
    pub steps: Vec<StepJudgement>,
}

/// A step's verdict.
#[derive(Debug, Clone)]
pub struct StepJudgement {
    /// How it came out.
    pub verdict: Verdict,
    /// The facts of the replay that decided it; None when it was not reached.
    pub facts: Option<StepFacts>,
    /// Replays that ran it.
    pub replays: u32,
    /// How it came out each time it was measured; more than one only if that was asked for.
    pub repeats: Vec<Repeat>,
    /// What is to be said about it.
    pub findings: Vec<Finding>,
}

/// One measurement of a step among several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// How it came out.
    pub verdict: Verdict,
    /// Its longest hold of ACCESS EXCLUSIVE; None: it had none.
    pub hold: Option<Bounds>,
}

/// Something to be said about a step.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Whether it decides the verdict.
    pub level: Level,
    /// What it is.
    pub kind: FindingKind,
}

/// What there is to say.
#[derive(Debug, Clone)]
pub enum FindingKind {
    /// A hold surely lasted longer than its budget.
    HoldExceeded {
        /// The longest of those that one statement took in one mode.
        hold: Hold,
        /// How many more there are.
        more: usize,
        /// The budget.
        limit: Duration,
        /// What the step did to the relation or its table meanwhile.
        trace: Option<Trace>,
        /// The wait for another lock that was most of the hold.
        waiting: Option<Box<Wait>>,
    },
    /// The budget lies between a hold's bounds.
    HoldUnproven {
        /// The longest of those that one statement took in one mode.
        hold: Hold,
        /// How many more there are.
        more: usize,
        /// The budget.
        limit: Duration,
    },
    /// A hold longer than the budget could have come and gone unseen.
    Blind {
        /// The longest that could.
        hidden: Duration,
        /// The budget.
        limit: Duration,
    },
    /// What applications felt.
    Felt(Felt),
    /// What ran beside the migration was not what was asked for.
    Doubt(Doubt),
    /// A statement or a program failed.
    Failed {
        /// One line.
        message: String,
        /// Further lines.
        details: Vec<String>,
        /// Who wanted to connect to where the closed network does not lead; None: that was not it.
        shut_out: Option<ShutOut>,
    },
    /// The step was not reached.
    NotRun,
    /// Other sessions waited behind the migration.
    Blocked {
        /// How many.
        count: usize,
        /// The one that waited longest.
        longest: Blocked,
    },
    /// The batches of a backfill grow slower as it goes on.
    BatchSlowsDown {
        /// Median time of the first tenth.
        early: Duration,
        /// Median time of the last tenth.
        late: Duration,
        /// Whether each begins after the last one's key; None: nothing tells.
        by_key: Option<bool>,
    },
    /// Other scenarios ran meanwhile, and the step is not within its budgets.
    Beside {
        /// At most so many.
        neighbours: u32,
    },
}

/// Judges everything.
pub fn judge(timeline: &Timeline, policy: &Policy) -> Judgement {
    let repeats: Vec<&[Replay]> = repeats(timeline).collect();
    let steps: Vec<StepJudgement> = (0..timeline.header.steps.len())
        .map(|index| {
            worst_repeat(
                repeats
                    .iter()
                    .map(|replays| judge_repeat(timeline, policy, replays, index)),
            )
        })
        .collect();
    let mut verdict = worst_step(steps.iter().map(|step| step.verdict));
    // What was to be measured and was not is not proved.
    if repeats.len() < timeline.header.repeat as usize
        && Verdict::Unproven.weight() > verdict.weight()
    {
        verdict = Verdict::Unproven;
    }
    if timeline.stage_lost.is_some() {
        verdict = Verdict::Failed;
    }
    Judgement { verdict, steps }
}

/// How the last measurement stands by itself, as far as it got.
pub fn last_repeat(timeline: &Timeline, policy: &Policy) -> Verdict {
    let replays = repeats(timeline).last().unwrap_or_default();
    let steps = 0..timeline.header.steps.len();
    worst_step(steps.map(|index| judge_repeat(timeline, policy, replays, index).verdict))
}

/// The replays of each measurement.
fn repeats(timeline: &Timeline) -> impl Iterator<Item = &[Replay]> {
    timeline.replays.chunk_by(|a, b| a.repeat == b.repeat)
}

/// A run's verdict, or a measurement's.
fn worst_step(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    match verdicts.max_by_key(|verdict| verdict.weight()) {
        // A step that was not reached is not proved.
        None | Some(Verdict::NotRun) => Verdict::Unproven,
        Some(worst) => worst,
    }
}

/// A step's verdict from one measurement.
fn judge_repeat(
    timeline: &Timeline,
    policy: &Policy,
    replays: &[Replay],
    step: usize,
) -> StepJudgement {
    decide(
        replays
            .iter()
            .flat_map(|replay| replay.steps.iter().map(move |facts| (replay, facts)))
            .filter(|(_, facts)| facts.step == step)
            .map(|(replay, facts)| judge_step(timeline, replay, facts, policy))
            .collect(),
    )
}

/// A step's verdict from all measurements: the worst of those that reached it, and among equals the one
/// with the longest hold.
fn worst_repeat(repeats: impl Iterator<Item = StepJudgement>) -> StepJudgement {
    let (reached, not): (Vec<_>, Vec<_>) = repeats.partition(|judged| judged.facts.is_some());
    let summary = reached.iter().map(|judged| Repeat {
        verdict: judged.verdict,
        hold: judged.facts.as_ref().and_then(longest_hold),
    });
    let summary: Vec<Repeat> = summary.collect();
    let replays = reached.iter().map(|judged| judged.replays).sum();
    let rank = |judged: &StepJudgement| {
        let hold = judged.facts.as_ref().and_then(longest_hold);
        (judged.verdict.weight(), hold.map(length))
    };
    // The first of equals, so that one measurement is itself.
    let worst = reached.into_iter().rev().max_by_key(rank);
    let mut worst = worst
        .or_else(|| not.into_iter().next())
        .unwrap_or_else(not_run);
    worst.replays = replays;
    worst.repeats = summary;
    worst
}

fn longest_hold(facts: &StepFacts) -> Option<Bounds> {
    let holds = facts.holds.iter();
    holds
        .filter(|hold| hold.mode == LockMode::AccessExclusiveLock)
        .map(|hold| hold.hold)
        .max_by_key(|hold| length(*hold))
}

/// For comparing: by the upper bound, without which a hold is as long as can be.
fn length(hold: Bounds) -> (Duration, Duration) {
    (hold.at_most().unwrap_or(Duration::MAX), hold.at_least())
}

/// One step's verdict from those of its replays: the worst that is proved counts, and a proof
/// counts more than none.
fn decide(tries: Vec<StepJudgement>) -> StepJudgement {
    let replays = u32::try_from(tries.len()).unwrap_or(u32::MAX);
    let rank = |verdict: Verdict| match verdict {
        Verdict::Failed => 0,
        Verdict::Exceeded => 1,
        Verdict::Within => 2,
        Verdict::Unproven => 3,
        Verdict::NotRun => 4,
    };
    let mut decided = tries
        .into_iter()
        .min_by_key(|judged| rank(judged.verdict))
        .unwrap_or_else(not_run);
    decided.replays = replays;
    decided
}

fn not_run() -> StepJudgement {
    StepJudgement {
        verdict: Verdict::NotRun,
        facts: None,
        replays: 0,
        repeats: Vec::new(),
        findings: vec![Finding {
            level: Level::Fail,
            kind: FindingKind::NotRun,
        }],
    }
}

fn judge_step(
    timeline: &Timeline,
    replay: &Replay,
    facts: &StepFacts,
    policy: &Policy,
) -> StepJudgement {
    let header = &timeline.header.steps[facts.step];
    let limits = header.impact.or(policy.impact);
    let mut verdict = Verdict::Within;
    let mut findings = Vec::new();
    let worse = |verdict: Verdict, than: Verdict| {
        if verdict.weight() > than.weight() {
            verdict
        } else {
            than
        }
    };
    for hold in &facts.holds {
        let Some(budget) = policy.budget_for(hold.mode, &header.budgets) else {
            continue;
        };
        let level = match policy.on_warning {
            OnWarning::Fail => Level::Fail,
            OnWarning::Report => budget.level,
        };
        let limit = budget.limit;
        let (kind, outcome) = match hold.hold.against(limit) {
            Proof::Within => continue,
            Proof::Exceeded => (
                FindingKind::HoldExceeded {
                    hold: hold.clone(),
                    more: 0,
                    limit,
                    trace: trace_of(hold, &facts.traces),
                    waiting: waiting(hold, &facts.queue.waits).map(Box::new),
                },
                Verdict::Exceeded,
            ),
            // A warning must be sure of itself.
            Proof::Neither if level == Level::Warn => continue,
            Proof::Neither => (
                FindingKind::HoldUnproven {
                    hold: hold.clone(),
                    more: 0,
                    limit,
                },
                Verdict::Unproven,
            ),
        };
        if level == Level::Fail {
            verdict = worse(outcome, verdict);
        }
        add(&mut findings, Finding { level, kind });
    }
    let planned = timeline.header.traffic.as_ref();
    for (felt, outcome) in impact::judge(facts, planned, replay.traffic.as_ref(), limits) {
        verdict = worse(outcome, verdict);
        findings.push(Finding {
            level: Level::Fail,
            kind: FindingKind::Felt(felt),
        });
    }
    let last = facts.step + 1 == timeline.header.steps.len();
    let failed = replay.traffic.as_ref();
    let failed = failed.and_then(|traffic| failed::judge(facts.step, last, planned, traffic));
    if let Some(felt) = failed {
        let level = match policy.on_warning {
            OnWarning::Fail => Level::Fail,
            OnWarning::Report => Level::Warn,
        };
        if level == Level::Fail {
            verdict = worse(Verdict::Exceeded, verdict);
        }
        findings.push(Finding {
            level,
            kind: FindingKind::Felt(felt),
        });
    }
    let doubts = doubt::judge(&timeline.header, replay, facts, limits);
    let foreign = facts.foreign_clients.clone().map(|(most, applications)| {
        let doubt = Doubt::ForeignClients { most, applications };
        (doubt, Verdict::Within)
    });
    let doubts = doubts
        .into_iter()
        .chain(effects::judge(timeline, facts))
        .chain(foreign);
    for (doubt, outcome) in doubts {
        verdict = worse(outcome, verdict);
        findings.push(Finding {
            level: match outcome {
                Verdict::Within => Level::Warn,
                _ => Level::Fail,
            },
            kind: FindingKind::Doubt(doubt),
        });
    }
    // Where something worse is known, what was not seen changes nothing.
    let unseen = [
        (facts.blind, tightest(header, policy)),
        (facts.blind, limits.exclusion),
        (facts.queue.unseen, limits.victim_wait),
    ];
    let unseen = unseen
        .into_iter()
        .find_map(|(hidden, limit)| Some((hidden, limit.filter(|limit| hidden > *limit)?)));
    if let Some((hidden, limit)) = unseen.filter(|_| verdict == Verdict::Within) {
        verdict = Verdict::Unproven;
        findings.push(Finding {
            level: Level::Fail,
            kind: FindingKind::Blind { hidden, limit },
        });
    }
    match &facts.outcome {
        Some(Outcome::Done) => {}
        Some(Outcome::Failed { message, details }) => {
            verdict = Verdict::Failed;
            findings.insert(
                0,
                Finding {
                    level: Level::Fail,
                    kind: FindingKind::Failed {
                        message: message.clone(),
                        details: details.clone(),
                        shut_out: shut_out::find(timeline, facts, message, details),
                    },
                },
            );
        }
        None => verdict = worse(Verdict::Unproven, verdict),
    }
    findings.extend(remarks(facts, header.by_key, verdict));
    StepJudgement {
        verdict,
        facts: Some(facts.clone()),
        replays: 1,
        repeats: Vec::new(),
        findings,
    }
}

/// Adds a finding, or counts it with one of the same kind about the same statement and mode: a
/// statement that locks a thousand partitions is one thing to say. Holds come longest first.
fn add(findings: &mut Vec<Finding>, mut finding: Finding) {
    use FindingKind::{HoldExceeded, HoldUnproven};
    let kind = std::mem::discriminant(&finding.kind);
    for present in findings.iter_mut().filter(|present| {
        present.level == finding.level && std::mem::discriminant(&present.kind) == kind
    }) {
        let (
            HoldExceeded { hold, more, .. } | HoldUnproven { hold, more, .. },
            HoldExceeded {
                hold: other,
                more: others,
                ..
            }
            | HoldUnproven {
                hold: other,
                more: others,
                ..
            },
        ) = (&mut present.kind, &mut finding.kind)
        else {
            continue;
        };
        let of = |hold: &Hold| (hold.mode, hold.holder);
        if of(hold) != of(other) || hold.granted_by != other.granted_by {
            continue;
        }
        // A TOAST relation's name tells a reader nothing as long as there is another.
        let (toast, named) = (is_toast(hold), !is_toast(other));
        *more += 1;
        *others = *more;
        if toast && named {
            present.kind = finding.kind;
        }
        return;
    }
    findings.push(finding);
}

fn is_toast(hold: &Hold) -> bool {
    hold.relation.starts_with("pg_toast.")
}

/// The tightest limit that an unseen hold could break. Modes that only warn do not make a step
/// unproven.
fn tightest(header: &StepHeader, policy: &Policy) -> Option<Duration> {
    LockMode::WATCHED
        .into_iter()
        .filter(|mode| policy.fails(*mode, &header.budgets))
        .filter_map(|mode| policy.budget_for(mode, &header.budgets))
        .map(|budget| budget.limit)
        .min()
}

/// What the step did to the relation that was held, or to the table that an index belongs to.
fn trace_of(hold: &Hold, traces: &[Trace]) -> Option<Trace> {
    let named = |name: &str| traces.iter().find(|trace| trace.relation == name);
    named(&hold.relation)
        .or_else(|| named(hold.parent.as_deref()?))
        .cloned()
}

/// The longest wait for another lock that the session began while it held this one, where that was more than half of
/// the hold: the hold is as long as somebody else wants it to be.
fn waiting(hold: &Hold, waits: &[Wait]) -> Option<Wait> {
    waits
        .iter()
        .filter(|wait| wait.pid == hold.pid)
        .filter(|wait| wait.relation.as_ref() != Some(&hold.relation) || wait.mode != hold.mode)
        .filter(|wait| {
            let ends = hold.released.latest;
            wait.asked
                .latest
                .is_none_or(|asked| asked >= hold.granted.earliest)
                && ends.is_none_or(|ends| wait.asked.earliest < ends)
        })
        .filter(|wait| wait.waited.at_least() * 2 > hold.hold.at_least())
        .max_by_key(|wait| wait.waited.at_least())
        .cloned()
}

/// What is worth saying without a budget being broken.
fn remarks(facts: &StepFacts, by_key: Option<bool>, verdict: Verdict) -> Vec<Finding> {
    let mut remarks = Vec::new();
    // What was kept beside neighbours is kept alone, too.
    if facts.neighbours > 0 && matches!(verdict, Verdict::Exceeded | Verdict::Unproven) {
        remarks.push(FindingKind::Beside {
            neighbours: facts.neighbours,
        });
    }
    if let Some(longest) = facts.blocked.first() {
        remarks.push(FindingKind::Blocked {
            count: facts.blocked.len(),
            longest: longest.clone(),
        });
    }
    let endless = || {
        let timeouts = facts.queue.lock_timeouts.iter();
        timeouts.filter(|timeout| timeout.in_force == InForce::Nothing)
    };
    if let Some(first) = endless().rev().max_by_key(|timeout| timeout.mode) {
        remarks.push(FindingKind::Felt(Felt::NoLockTimeout {
            statement: first.statement.clone(),
            mode: first.mode,
            more: endless().filter(|other| other.mode == first.mode).count() - 1,
        }));
    }
    // Only `lock_timeout` makes a step try again.
    if facts.attempts > 1 {
        remarks.push(FindingKind::Felt(Felt::Retried {
            attempts: facts.attempts,
            rested: facts.queue.rested,
            excluded: facts.queue.excluded,
            took: facts.elapsed,
        }));
    }
    // Twice as slow after twenty batches is growth, not noise.
    if let Some(batches) = &facts.batches
        && batches.count >= 20
        && batches.late > batches.early * 2
    {
        remarks.push(FindingKind::BatchSlowsDown {
            early: batches.early,
            late: batches.late,
            by_key,
        });
    }
    remarks
        .into_iter()
        .map(|kind| Finding {
            level: Level::Warn,
            kind,
        })
        .collect()
}
