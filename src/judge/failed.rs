//! Requests that fail beside the migration, or after it, as they did not before: a column or a table that is gone, a
//! constraint that old code does not know, a connection that was cut. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Felt;
use crate::analyse::TrafficFacts;
use crate::analyse::impact::OperationFacts;
use crate::recording::traffic::{TrafficHeader, Window};

/// The operation of which most requests failed so, if any did.
///
/// What fails between two steps or after the last belongs to the `last` one, where all of them are done.
pub fn judge(
    step: usize,
    last: bool,
    planned: Option<&TrafficHeader>,
    traffic: &TrafficFacts,
) -> Option<Felt> {
    let windows = [Window::Step(step), Window::Between, Window::Settle];
    let windows = &windows[..if last { 3 } else { 1 }];
    let of = |window: &Window| traffic.windows.get(window).into_iter().flatten();
    let places: BTreeSet<usize> = windows
        .iter()
        .flat_map(of)
        .map(|(place, _)| *place)
        .collect();
    let before = traffic.windows.get(&Window::Baseline);
    let mut found: Vec<Felt> = places
        .into_iter()
        .filter_map(|place| {
            let here = windows
                .iter()
                .filter_map(|window| traffic.windows.get(window)?.get(&place));
            let known = before.and_then(|operations| operations.get(&place));
            let (sqlstates, requests) = unheard_of(here, known);
            (!sqlstates.is_empty()).then(|| Felt::RequestsFailed {
                operation: super::impact::name(planned, place),
                failed: sum(sqlstates.values().copied()),
                requests,
                sqlstates,
                after: last,
                others: 0,
            })
        })
        .collect();
    found.sort_by_key(|felt| match felt {
        Felt::RequestsFailed { failed, .. } => std::cmp::Reverse(*failed),
        _ => std::cmp::Reverse(0),
    });
    let more = found.len().saturating_sub(1);
    let mut worst = found.into_iter().next()?;
    if let Felt::RequestsFailed { others, .. } = &mut worst {
        *others = more;
    }
    Some(worst)
}

/// Failures of kinds that there were none of before, and all requests.
fn unheard_of<'a>(
    here: impl Iterator<Item = &'a OperationFacts>,
    before: Option<&OperationFacts>,
) -> (BTreeMap<String, u64>, u64) {
    let mut sqlstates = BTreeMap::new();
    let mut requests: u64 = 0;
    for facts in here {
        requests = requests.saturating_add(facts.latency.count);
        for (sqlstate, count) in &facts.endings.failures {
            let known = before.is_some_and(|facts| facts.endings.failures.contains_key(sqlstate));
            if !known {
                let sum: &mut u64 = sqlstates.entry(sqlstate.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }
    (sqlstates, requests)
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(requests: u64, failures: &[(&str, u64)]) -> OperationFacts {
        let mut facts = OperationFacts::default();
        facts.latency.count = requests;
        for (sqlstate, count) in failures {
            facts
                .endings
                .failures
                .insert((*sqlstate).to_owned(), *count);
        }
        facts
    }

    fn traffic(windows: &[(Window, OperationFacts)]) -> TrafficFacts {
        let mut traffic = TrafficFacts::default();
        for (window, facts) in windows {
            traffic.windows.insert(*window, [(0, facts.clone())].into());
        }
        traffic
    }

    #[test]
    fn a_failure_is_worth_a_word_where_there_was_none_like_it_before() {
        let said = |last, windows: &[(Window, OperationFacts)]| match judge(
            0,
            last,
            None,
            &traffic(windows),
        ) {
            Some(Felt::RequestsFailed {
                failed, requests, ..
            }) => Some((failed, requests)),
            _ => None,
        };
        let usual = (Window::Baseline, of(100, &[("23505", 3)]));
        let step = |failures: &[(&str, u64)]| (Window::Step(0), of(50, failures));
        let settle = |failures: &[(&str, u64)]| (Window::Settle, of(40, failures));
        assert_eq!(said(true, &[usual.clone(), step(&[])]), None);
        assert_eq!(said(true, &[usual.clone(), step(&[("23505", 50)])]), None);
        let gone = [("23505", 1), ("42P01", 7)];
        assert_eq!(said(true, &[usual.clone(), step(&gone)]), Some((7, 50)));
        // Whoever is quick enough is only missed afterwards.
        let late = [usual, step(&[]), settle(&[("42P01", 40)])];
        assert_eq!(said(true, &late), Some((40, 90)));
        assert_eq!(said(false, &late), None, "a later step's");
    }
}
