//! Timeline + judgement → report.

use std::time::Duration;

use super::model;
use super::model::{
    Batches, Blocked, Budget, Changed, Command, Effects, Evidence, Hold, Policy, Quantiles,
    Repeats, Report, Run, SCHEMA_ID, SCHEMA_VERSION, Sampling, Scan, Span, Stage, Statement, Step,
    Tool,
};
use super::text::{self, ms};
use super::wording;
use super::{distribution, fidelity, others, queue, traffic};
use crate::analyse::{self, StageFacts, StepFacts, Timeline};
use crate::bounds::Bounds;
use crate::judge::{Judgement, StepJudgement};
use crate::pg::LockMode;
use crate::plan;
use crate::recording::format::{self, StepHeader};

/// What one staging server cannot show, whatever it is.
const LIMITS: &[&str] = &[
    "replicas: ACCESS EXCLUSIVE is replayed on standbys, where it cancels or delays their queries",
    "synchronous replication: the lock is held while the commit waits for a standby",
    "the machine: a colder cache or a slower disk than here makes scans and rewrites longer",
    "poolers and plan caches: reconnects and replanning after the change are not exercised",
    "functions: one that locks a relation and rolls that back, or a deferred trigger that locks one \
     in COMMIT, may do so between two samples; such a lock can come and go unseen, or be counted as \
     held throughout",
];

/// So many of them are about the server and its machine; what is to be said of traffic follows.
const MACHINE: usize = 3;

/// Builds the report.
pub fn build(timeline: &Timeline, judgement: &Judgement, policy: &plan::Policy) -> Report {
    let header = &timeline.header;
    let steps: Vec<Step> = header
        .steps
        .iter()
        .zip(&judgement.steps)
        .map(|(header, judged)| step(timeline, header, judged, policy))
        .collect();
    let findings = header
        .steps
        .iter()
        .zip(&judgement.steps)
        .flat_map(|(header, judged)| {
            judged
                .findings
                .iter()
                .map(|finding| wording::finding(&header.name, finding))
        })
        .collect();
    let blind = steps
        .iter()
        .map(|step| step.unseen_ms_max)
        .fold(0.0, f64::max);
    Report {
        schema: SCHEMA_ID.to_owned(),
        schema_version: SCHEMA_VERSION.to_owned(),
        tool: Tool {
            name: "lockproof".to_owned(),
            version: header.tool_version.clone(),
        },
        run: Run {
            id: header.run_id.clone(),
            started_at: seconds(header.started_at),
            finished_at: timeline.finished_at.map(seconds),
            replays: u32::try_from(timeline.replays.len()).unwrap_or(u32::MAX),
            repeat: header.repeat,
            jobs: header.jobs,
            neighbours: neighbours(timeline),
        },
        scenario: header.scenario.clone(),
        snapshot: timeline.stage.as_ref().map(|stage| stage.snapshot.clone()),
        stage: timeline.stage.as_ref().map(|stage| Stage {
            kind: stage.kind,
            image: stage.image.clone(),
            server_version: stage.server_version.clone(),
            settings: stage.settings.clone(),
            clone: stage.cloned.map(|cloned| model::Clone {
                method: cloned.method,
                took_ms: ms(cloned.took),
                kept_bytes: cloned.kept_bytes,
            }),
            role: stage.role.clone(),
            warmth: stage.warmth,
            network: stage.network.as_ref().map(|network| network.is),
            network_by: stage.network.as_ref().map(|network| network.by.clone()),
        }),
        policy: Policy {
            budgets: policy.budgets.iter().map(budget).collect(),
            impact: impact(policy.impact),
        },
        verdict: judgement.verdict,
        hold_ms: distribution::of(holds(judgement)),
        steps,
        findings,
        traffic: traffic::traffic(timeline),
        disturbances: traffic::disturbances(timeline),
        sampling: timeline.sampling.as_ref().map(|sampling| Sampling {
            interval_ms: ms(header.interval),
            cadence: header.cadence,
            samples: sampling.samples,
            gap_ms: quantiles(sampling.gap),
            round_trip_ms: quantiles(sampling.round_trip),
            blind_ms_max: blind,
            dropped: sampling.dropped,
        }),
        limits: limits(timeline),
    }
}

fn step(
    timeline: &Timeline,
    header: &StepHeader,
    judged: &StepJudgement,
    policy: &plan::Policy,
) -> Step {
    let empty = Step {
        name: header.name.clone(),
        kind: header.kind,
        verdict: judged.verdict,
        budgets: header.budgets.iter().map(budget).collect(),
        impact: impact(header.impact),
        started_ms: None,
        elapsed_ms: None,
        attempts: 0,
        replays: judged.replays,
        neighbours: 0,
        repeats: (judged.repeats.len() > 1).then(|| repeats(judged)),
        statements: Vec::new(),
        batches: None,
        command: None,
        holds: Vec::new(),
        ignored_holds: 0,
        foreign_holds: Vec::new(),
        blocked: Vec::new(),
        queue: None,
        traffic: Vec::new(),
        unseen_ms_max: 0.0,
        evidence: Evidence::default(),
    };
    let Some(facts) = &judged.facts else {
        return empty;
    };
    let began = timeline.replays.get(facts.replay);
    let judged_mode = |mode: LockMode| policy.budget_for(mode, &header.budgets).is_some();
    Step {
        started_ms: began.map(|replay| ms(facts.started.since(replay.started))),
        elapsed_ms: facts.elapsed.map(ms),
        attempts: facts.attempts,
        neighbours: facts.neighbours,
        statements: facts.statements.iter().map(statement).collect(),
        batches: facts.batches.as_ref().map(|batches| Batches {
            count: batches.count,
            rows: batches.rows,
            early_ms: ms(batches.early),
            late_ms: ms(batches.late),
        }),
        command: facts.command.as_ref().map(|command| Command {
            argv: command.argv.clone(),
            network: command.network.as_ref().map(|network| network.is),
            network_by: command.network.as_ref().map(|network| network.by.clone()),
            exit_status: command.status,
            output: command.output.clone(),
            effects: command.effects.as_ref().map(effects),
        }),
        holds: facts
            .holds
            .iter()
            .map(|facts| hold(facts, judged_mode(facts.mode)))
            .collect(),
        ignored_holds: facts.ignored_holds,
        foreign_holds: facts
            .foreign_holds
            .iter()
            .map(|facts| hold(facts, false))
            .collect(),
        blocked: facts.blocked.iter().map(blocked).collect(),
        queue: Some(queue::of(&facts.queue)),
        traffic: traffic::of_step(timeline, facts),
        unseen_ms_max: ms(facts.blind),
        evidence: evidence(facts),
        ..empty
    }
}

fn effects(effects: &format::Effects) -> Effects {
    let changed = effects.changed.iter().map(|changed| Changed {
        relation: changed.relation.clone(),
        rows: changed.rows,
    });
    Effects {
        came: effects.came,
        sessions: effects.sessions,
        changed: changed.collect(),
        catalogues: effects.catalogues.clone(),
        unclear: effects.unclear.clone(),
        others: effects.others,
        unread: effects.unread.clone(),
    }
}

fn statement(facts: &analyse::StatementFacts) -> Statement {
    Statement {
        sql: facts.sql.clone(),
        started_ms: ms(facts.started),
        elapsed_ms: facts.elapsed.map(ms),
        rows: facts.rows,
        error: facts.error.as_ref().map(|error| error.message.clone()),
    }
}

fn hold(facts: &analyse::Hold, judged: bool) -> Hold {
    Hold {
        relation: facts.relation.clone(),
        parent: facts.parent.clone(),
        mode: facts.mode,
        pid: facts.pid,
        hold_ms: span(facts.hold),
        wait_ms: span(facts.wait),
        asked_at_ms: facts.asked.map(moment),
        granted_at_ms: moment(facts.granted),
        released_at_ms: moment(facts.released),
        granted_by: (!facts.granted_by.is_empty()).then(|| facts.granted_by.join(" | ")),
        lengthened_by: facts.lengthened_by.clone(),
        judged,
    }
}

fn blocked(facts: &analyse::Blocked) -> Blocked {
    Blocked {
        pid: facts.pid,
        query: facts.query.clone(),
        waited_ms: span(facts.waited),
        behind: facts.behind.clone(),
    }
}

fn evidence(facts: &StepFacts) -> Evidence {
    let rewritten = facts.traces.iter().filter(|trace| trace.rewritten);
    let scanned = facts
        .traces
        .iter()
        .filter(|trace| trace.scans > 0 && trace.rows_scanned > 0);
    Evidence {
        rewritten: rewritten.map(|trace| trace.relation.clone()).collect(),
        scanned: scanned
            .map(|trace| Scan {
                relation: trace.relation.clone(),
                scans: trace.scans,
                rows: trace.rows_scanned,
                blocks: trace.blocks,
            })
            .collect(),
    }
}

fn budget(budget: &plan::Budget) -> Budget {
    Budget {
        mode: budget.mode,
        counts: "hold".to_owned(),
        limit_ms: ms(budget.limit),
        level: budget.level,
        reason: budget.reason.clone(),
    }
}

/// Bounds as numbers: rounding must not narrow them.
pub(super) fn span(bounds: Bounds) -> Span {
    let micros = |duration: std::time::Duration| duration.as_nanos() as f64 / 1e3;
    Span {
        at_least: micros(bounds.at_least()).floor() / 1e3,
        at_most: bounds.at_most().map(|most| micros(most).ceil() / 1e3),
    }
}

pub(super) fn moment(moment: analyse::Moment) -> Span {
    let micros = |duration: Duration| duration.as_nanos() as f64 / 1e3;
    Span {
        at_least: micros(moment.earliest).floor() / 1e3,
        at_most: moment.latest.map(|latest| micros(latest).ceil() / 1e3),
    }
}

fn impact(impact: plan::Impact) -> model::impact::Impact {
    model::impact::Impact {
        exclusion_ms: impact.exclusion.map(ms),
        blocked_requests: impact.blocked_requests,
        victim_wait_ms: impact.victim_wait.map(ms),
        p99_increase: impact.p99_increase,
        timeouts: impact.timeouts,
    }
}

fn quantiles(facts: format::Quantiles) -> Quantiles {
    Quantiles {
        p50: ms(facts.p50),
        p99: ms(facts.p99),
        max: ms(facts.max),
    }
}

/// Upper bounds of the holds of the replays that decided.
fn holds(judgement: &Judgement) -> impl Iterator<Item = Duration> {
    let facts = judgement
        .steps
        .iter()
        .filter_map(|step| step.facts.as_ref());
    facts
        .flat_map(|facts| &facts.holds)
        .filter(|hold| hold.mode == LockMode::AccessExclusiveLock)
        .filter_map(|hold| hold.hold.at_most())
}

fn repeats(judged: &StepJudgement) -> Repeats {
    let holds = || judged.repeats.iter().filter_map(|repeat| repeat.hold);
    Repeats {
        verdicts: judged.repeats.iter().map(|repeat| repeat.verdict).collect(),
        at_least_ms: distribution::of(holds().map(|hold| hold.at_least())),
        at_most_ms: distribution::of(holds().filter_map(|hold| hold.at_most())),
    }
}

fn limits(timeline: &Timeline) -> Vec<String> {
    let mut limits = Vec::new();
    limits.extend(timeline.stage_lost.clone());
    if let Some(error) = timeline.sampling.as_ref().and_then(|s| s.error.as_ref()) {
        limits.push(format!("sampling ended early: {error}"));
    }
    if timeline.finished_at.is_none() {
        limits.push("the recording was cut: the run did not end by itself".to_owned());
    }
    limits.extend(timeline.header.notes.iter().cloned());
    limits.extend(beside(neighbours(timeline)));
    if let Some(stage) = &timeline.stage {
        limits.extend(stage_limits(stage));
    }
    limits.extend(open_programs(timeline));
    let (machine, rest) = LIMITS.split_at(MACHINE);
    limits.extend(machine.iter().map(|limit| (*limit).to_owned()));
    limits.extend(others::limits(timeline));
    limits.extend(rest.iter().map(|limit| (*limit).to_owned()));
    limits
}

/// The steps whose programs could reach more than the stage, and why.
fn open_programs(timeline: &Timeline) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    let mut why = None;
    for facts in timeline.replays.iter().flat_map(|replay| &replay.steps) {
        let network = facts
            .command
            .as_ref()
            .and_then(|command| command.network.as_ref());
        let Some(network) = network.filter(|network| !network.is_closed()) else {
            continue;
        };
        let name = timeline.header.steps[facts.step].name.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
        why = Some(&network.by);
    }
    let why = why?;
    let names = names.join("`, `");
    Some(format!(
        "network: open for the program of `{names}`, which could reach whatever this machine reaches: {why}"
    ))
}

/// At most so many other scenarios ran beside any step, whichever replay decided.
fn neighbours(timeline: &Timeline) -> u32 {
    let steps = timeline.replays.iter().flat_map(|replay| &replay.steps);
    steps.map(|facts| facts.neighbours).max().unwrap_or(0)
}

fn beside(neighbours: u32) -> Option<String> {
    (neighbours > 0).then(|| {
        format!(
            "neighbours: {} ran at the same time on the same machine; holds were really this long, \
             and may be shorter alone",
            text::scenarios_beside(neighbours)
        )
    })
}

fn stage_limits(stage: &StageFacts) -> Vec<String> {
    let mut limits = stage.notes.clone();
    limits.extend(fidelity::limits(stage));
    if let Some(network) = stage
        .network
        .as_ref()
        .filter(|network| !network.is_closed())
    {
        limits.push(format!(
            "network: open; whatever the snapshot or the migration connects to from the server was \
             within reach: {}",
            network.by
        ));
    }
    limits.extend(fidelity::size(stage));
    if stage
        .settings
        .get("fsync")
        .is_some_and(|fsync| fsync == "off")
    {
        limits.push(
            "fsync is off on this server: a lock is held until its commit is flushed, so real \
             holds are longer"
                .to_owned(),
        );
    }
    limits
}

/// RFC 3339 in whole seconds.
fn seconds(timestamp: jiff::Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
