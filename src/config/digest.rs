//! A scenario's digest: the same for the same work, wherever its files are.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::pgbench::print;
use crate::plan::{
    Budget, Disturbance, Front, Impact, Load, Policy, Retry, Step, Traffic, Work, Wrap,
};

/// SHA-256 in hex over everything that decides what is replayed and what it is allowed.
///
/// Neither the command line's budget nor the stage is in it: they are told beside it. Folders count
/// from `folder`, so that a copy elsewhere is the same scenario.
pub fn digest(
    name: &str,
    variables: &BTreeMap<String, String>,
    policy: &Policy,
    steps: &[Step],
    disturbances: &[Disturbance],
    traffic: Option<&Traffic>,
    folder: &Path,
) -> String {
    let canonical = Canonical {
        format: "lockproof scenario 1",
        name,
        variables,
        budgets: in_order(&policy.budgets),
        impact: policy.impact,
        steps: steps.iter().map(|step| of_step(step, folder)).collect(),
        // As their Debug has them: every field, in order.
        disturbances: disturbances
            .iter()
            .map(|disturbance| format!("{disturbance:?}"))
            .collect(),
        traffic: traffic.map(of_traffic),
    };
    // Structs and sorted maps only: the bytes are the same on every machine. Nothing in them can fail.
    let bytes = serde_json::to_vec(&canonical).unwrap_or_default();
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(&bytes) {
        hex.push_str(&format!("{byte:02x}"));
    }
    hex
}

#[derive(Serialize)]
struct Canonical<'a> {
    format: &'a str,
    name: &'a str,
    variables: &'a BTreeMap<String, String>,
    budgets: Vec<&'a Budget>,
    #[serde(skip_serializing_if = "is_unset")]
    impact: Impact,
    steps: Vec<CanonicalStep<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disturbances: Vec<String>,
    // Left out where there is none: such a scenario has the digest that it had before there was traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<CanonicalTraffic<'a>>,
}

#[derive(Serialize)]
struct CanonicalTraffic<'a> {
    load: Load,
    front: Front,
    baseline: Duration,
    settle: Duration,
    seed: u64,
    operations: Vec<CanonicalOperation<'a>>,
}

#[derive(Serialize)]
struct CanonicalOperation<'a> {
    name: &'a str,
    weight: f64,
    program: Vec<String>,
}

#[derive(Serialize)]
struct CanonicalStep<'a> {
    name: &'a str,
    work: CanonicalWork<'a>,
    budgets: Vec<&'a Budget>,
    lock_timeout: Option<Duration>,
    statement_timeout: Option<Duration>,
    timeout: Option<Duration>,
    attempts: u32,
    backoff: Duration,
    #[serde(skip_serializing_if = "is_default")]
    max_backoff: Duration,
    #[serde(skip_serializing_if = "is_none")]
    jitter: f64,
    #[serde(skip_serializing_if = "is_unset")]
    impact: Impact,
}

// What was not there before and is not set leaves a scenario the same that it was.
fn is_default(max_backoff: &Duration) -> bool {
    *max_backoff == Retry::default().max_backoff
}

fn is_none(jitter: &f64) -> bool {
    *jitter == 0.0
}

fn is_unset(impact: &Impact) -> bool {
    *impact == Impact::default()
}

#[derive(Serialize)]
enum CanonicalWork<'a> {
    Sql {
        text: &'a str,
        wrap: Wrap,
    },
    Batch {
        template: &'a str,
        batch_size: u64,
        sleep: Duration,
        after: Option<&'a str>,
        max_batches: Option<u64>,
    },
    Command {
        argv: &'a [String],
        folder: String,
        environment: &'a BTreeMap<String, String>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        may_do_nothing: bool,
    },
}

fn of_step<'a>(step: &'a Step, folder: &Path) -> CanonicalStep<'a> {
    CanonicalStep {
        name: &step.name,
        work: match &step.work {
            Work::Sql(sql) => CanonicalWork::Sql {
                text: &sql.text,
                wrap: sql.wrap,
            },
            Work::Batch(batch) => CanonicalWork::Batch {
                template: &batch.template,
                batch_size: batch.batch_size,
                sleep: batch.sleep,
                after: batch.after.as_deref(),
                max_batches: batch.max_batches,
            },
            Work::Command(command) => CanonicalWork::Command {
                argv: &command.argv,
                folder: command
                    .folder
                    .strip_prefix(folder)
                    .unwrap_or(&command.folder)
                    .display()
                    .to_string(),
                environment: &command.environment,
                may_do_nothing: command.may_do_nothing,
            },
        },
        budgets: in_order(&step.budgets),
        lock_timeout: step.lock_timeout,
        statement_timeout: step.statement_timeout,
        timeout: step.timeout,
        attempts: step.retry.attempts,
        backoff: step.retry.backoff,
        max_backoff: step.retry.max_backoff,
        jitter: step.retry.jitter,
        impact: step.impact,
    }
}

fn of_traffic(traffic: &Traffic) -> CanonicalTraffic<'_> {
    CanonicalTraffic {
        load: traffic.load,
        front: traffic.front,
        baseline: traffic.baseline,
        settle: traffic.settle,
        seed: traffic.seed,
        operations: traffic
            .operations
            .iter()
            .map(|operation| CanonicalOperation {
                name: &operation.name,
                weight: operation.weight,
                program: operation.program.iter().map(print::instruction).collect(),
            })
            .collect(),
    }
}

fn in_order(budgets: &[Budget]) -> Vec<&Budget> {
    let mut budgets: Vec<&Budget> = budgets.iter().collect();
    budgets.sort_by_key(|budget| budget.mode);
    budgets
}
