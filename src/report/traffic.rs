//! What ran beside the migration, from its facts to the report's words for them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::impact::{
    Disturbance, Latency, Operation, OperationTraffic, Slice, SliceTraffic, Traffic,
};
use super::model::{self};
use super::text::ms;
use crate::analyse::impact::{self, OperationFacts, TrafficFacts};
use crate::analyse::{Replay, StepFacts, Timeline};
use crate::recording::traffic::{TrafficHeader, TrafficSummary, Window, lost};

/// The traffic of the run: of several replays, the last that had any.
pub(super) fn traffic(timeline: &Timeline) -> Option<Traffic> {
    let header = timeline.header.traffic.as_ref()?;
    let facts = timeline
        .replays
        .iter()
        .rev()
        .find_map(|replay| replay.traffic.as_ref());
    let none = TrafficFacts::default();
    let facts = facts.unwrap_or(&none);
    let summary = facts.summary.as_ref();
    Some(Traffic {
        operations: header
            .operations
            .iter()
            .map(|(name, weight)| Operation {
                name: name.clone(),
                weight: *weight,
            })
            .collect(),
        load: header.load,
        front: header.front,
        seed: header.seed,
        baseline: window(header, facts, Window::Baseline),
        settle: window(header, facts, Window::Settle),
        slices: facts
            .slices
            .iter()
            .map(|facts| slice(header, facts))
            .collect(),
        due: summary.map(|summary| summary.due),
        begun: summary.map(|summary| summary.begun),
        rate: summary.and_then(|summary| per_second(summary.begun as f64, summary)),
        lateness_ms: summary.map(|summary| model::Quantiles {
            p50: ms(summary.lateness.p50),
            p99: ms(summary.lateness.p99),
            max: ms(summary.lateness.max),
        }),
        cpus: summary.and_then(|summary| per_second(summary.cpu.as_secs_f64(), summary)),
    })
}

/// How the traffic fared during a step, in the replay that decided it.
pub(super) fn of_step(timeline: &Timeline, step: &StepFacts) -> Vec<OperationTraffic> {
    let facts = timeline
        .replays
        .get(step.replay)
        .and_then(|replay| replay.traffic.as_ref());
    match (&timeline.header.traffic, facts) {
        (Some(header), Some(facts)) => window(header, facts, Window::Step(step.step)),
        _ => Vec::new(),
    }
}

/// Who was in the way, in the last replay; those that never were have no moment.
pub(super) fn disturbances(timeline: &Timeline) -> Vec<Disturbance> {
    let facts = |place: usize| {
        let replay: Option<&Replay> = timeline.replays.last();
        let mut all = replay.into_iter().flat_map(|replay| &replay.disturbances);
        all.find(|facts| facts.disturbance == place)
    };
    let headers = timeline.header.disturbances.iter().enumerate();
    headers
        .map(|(place, header)| {
            let facts = facts(place);
            Disturbance {
                name: header.name.clone(),
                kind: header.kind.clone(),
                begins: header.begins.clone(),
                began_ms: facts.map(|facts| ms(facts.began)),
                ended_ms: facts.and_then(|facts| facts.ended).map(ms),
                error: facts.and_then(|facts| facts.error.clone()),
            }
        })
        .collect()
}

/// Each operation of a window; one without a request in it has no latency.
fn window(header: &TrafficHeader, facts: &TrafficFacts, window: Window) -> Vec<OperationTraffic> {
    let Some(operations) = facts.windows.get(&window) else {
        return Vec::new();
    };
    let baseline = match window {
        Window::Baseline => None,
        _ => facts.windows.get(&Window::Baseline),
    };
    header
        .operations
        .iter()
        .enumerate()
        .map(|(place, (name, _))| operation(name, place, operations, baseline))
        .collect()
}

fn operation(
    name: &str,
    place: usize,
    operations: &BTreeMap<usize, OperationFacts>,
    baseline: Option<&BTreeMap<usize, OperationFacts>>,
) -> OperationTraffic {
    let of = |operations: &BTreeMap<usize, OperationFacts>| {
        let facts = operations.get(&place)?;
        (facts.latency.count > 0).then_some(facts.latency)
    };
    let here = of(operations);
    let change = here
        .zip(baseline.and_then(of))
        .map(|(here, usual)| change(here, usual));
    let endings = operations.get(&place).map(|facts| &facts.endings);
    OperationTraffic {
        operation: name.to_owned(),
        requests: here.map_or(0, |latency| latency.count),
        endings: endings.map_or_else(BTreeMap::new, |endings| endings.counts.clone()),
        failures: endings.map_or_else(BTreeMap::new, |endings| endings.failures.clone()),
        latency_ms: here.map(latency),
        change_ms: change,
    }
}

fn latency(facts: impact::Latency) -> Latency {
    Latency {
        p50: ms(facts.quantiles.p50),
        p99: ms(facts.quantiles.p99),
        p999: ms(facts.p999),
        max: ms(facts.quantiles.max),
    }
}

fn change(here: impact::Latency, usual: impact::Latency) -> Latency {
    let less = |here: Duration, usual: Duration| match here.checked_sub(usual) {
        Some(more) => ms(more),
        None => -ms(usual.saturating_sub(here)),
    };
    Latency {
        p50: less(here.quantiles.p50, usual.quantiles.p50),
        p99: less(here.quantiles.p99, usual.quantiles.p99),
        p999: less(here.p999, usual.p999),
        max: less(here.quantiles.max, usual.quantiles.max),
    }
}

fn slice(header: &TrafficHeader, facts: &impact::Slice) -> Slice {
    let of = |place: usize| {
        let facts = facts.operations.get(&place)?;
        Some(SliceTraffic {
            requests: facts.latency.count,
            lost: lost(&facts.endings.counts),
            p50_ms: ms(facts.latency.quantiles.p50),
            p99_ms: ms(facts.latency.quantiles.p99),
        })
    };
    Slice {
        from_ms: ms(facts.from),
        to_ms: ms(facts.to),
        operations: (0..header.operations.len()).map(of).collect(),
    }
}

fn per_second(amount: f64, summary: &TrafficSummary) -> Option<f64> {
    let seconds = summary.ran.as_secs_f64();
    (seconds > 0.0).then(|| (amount / seconds * 1e3).round() / 1e3)
}
