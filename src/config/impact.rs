//! Budgets of what applications feel: those of `budgets` that name no lock mode.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Value;

use super::document::{Document, KeyPath};
use super::scenario::{BudgetText, StepText};
use super::units::{self, Unfit};
use crate::plan::{Impact, Increase, Plan, Policy};
use crate::{Error, Result};

/// The keys.
pub const KEYS: [&str; 5] = [
    "exclusion",
    "victim_wait",
    "blocked_requests",
    "p99_increase",
    "timeouts",
];

/// Those of them that only traffic can tell of.
const NEED_TRAFFIC: [&str; 2] = ["p99_increase", "timeouts"];

/// A profile: budgets that hold where the scenario sets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Nothing but what the scenario sets.
    Usual,
    /// [`Impact::STRICT`].
    Strict,
}

/// Those of a table of budgets.
///
/// # Errors
///
/// For a value that cannot be.
pub fn read(
    document: &Document<'_>,
    at: &KeyPath,
    typed: &BTreeMap<String, BudgetText>,
) -> Result<Impact> {
    let mut impact = Impact::default();
    for (name, budget) in typed {
        if !KEYS.contains(&name.as_str()) {
            continue;
        }
        let at = at.key(name);
        let BudgetText::Limit(value) = budget else {
            return Err(document
                .error(&at, "is a limit alone: breaking it always fails the step")
                .help(format!("write it like `{name} = {}`", example(name))));
        };
        let unfit = |unfit: Unfit| document.unfit(&at, unfit);
        match name.as_str() {
            "exclusion" => impact.exclusion = Some(duration(value).map_err(unfit)?),
            "victim_wait" => impact.victim_wait = Some(duration(value).map_err(unfit)?),
            "p99_increase" => impact.p99_increase = Some(increase(value).map_err(unfit)?),
            "blocked_requests" => {
                impact.blocked_requests = Some(units::number(value).map_err(unfit)?);
            }
            _ => impact.timeouts = Some(units::number(value).map_err(unfit)?),
        }
    }
    Ok(impact)
}

/// A step's own; the scenario's `policy` says which of them need a reason.
///
/// # Errors
///
/// As for [`read`], and for a looser budget without a reason.
pub fn of_step(
    document: &Document<'_>,
    at: &KeyPath,
    step: &StepText,
    policy: &Policy,
) -> Result<Impact> {
    let own = read(document, &at.key("budgets"), &step.budgets)?;
    let reason = step.reason.as_deref().unwrap_or_default().trim();
    if let (Some((name, how)), true) = (looser(own, policy.impact), reason.is_empty()) {
        let message = format!("{how}, without a reason");
        return Err(document
            .error(&at.key("budgets").key(name), &message)
            .help("add `reason = \"…\"` to the step: why it may be more here"));
    }
    Ok(own)
}

/// How a step's is looser than the scenario's; None when none is.
fn looser(own: Impact, general: Impact) -> Option<(&'static str, String)> {
    let times = |name, own: Option<Duration>, general: Option<Duration>| match (own, general) {
        (Some(own), Some(general)) if own > general => Some((
            name,
            format!("allows {own:?} where the scenario allows {general:?}"),
        )),
        _ => None,
    };
    let counts = |name, own: Option<u64>, general: Option<u64>| match (own, general) {
        (Some(own), Some(general)) if own > general => Some((
            name,
            format!("allows {own} where the scenario allows {general}"),
        )),
        _ => None,
    };
    let increases = match (own.p99_increase, general.p99_increase) {
        (Some(Increase::By(own)), Some(Increase::By(general))) => {
            times("p99_increase", Some(own), Some(general))
        }
        (Some(Increase::Percent(own)), Some(Increase::Percent(general))) if own > general => {
            Some((
                "p99_increase",
                format!("allows {own}% where the scenario allows {general}%"),
            ))
        }
        // One is a time and one a share: nothing tells which allows more.
        (Some(own), Some(general))
            if std::mem::discriminant(&own) != std::mem::discriminant(&general) =>
        {
            Some((
                "p99_increase",
                "is of another kind than the scenario's".to_owned(),
            ))
        }
        _ => None,
    };
    times("exclusion", own.exclusion, general.exclusion)
        .or_else(|| times("victim_wait", own.victim_wait, general.victim_wait))
        .or_else(|| {
            counts(
                "blocked_requests",
                own.blocked_requests,
                general.blocked_requests,
            )
        })
        .or(increases)
        .or_else(|| counts("timeouts", own.timeouts, general.timeouts))
}

/// What a profile adds where nothing is set; without traffic only what can be judged without it.
pub fn fill(policy: &mut Policy, profile: Profile, traffic: bool) {
    if profile == Profile::Usual {
        return;
    }
    let mut strict = Impact::STRICT;
    if !traffic {
        strict.p99_increase = None;
        strict.timeouts = None;
    }
    policy.impact = policy.impact.or(strict);
}

/// Applies a profile to a plan that knows its traffic, and refuses budgets that nothing could tell of.
///
/// # Errors
///
/// For a budget of requests where no traffic is run.
pub fn settle(
    plan: &mut Plan,
    profile: Profile,
    document: Option<&Document<'_>>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let traffic = plan.traffic.is_some();
    if !traffic {
        refuse(KeyPath::top("budgets"), plan.policy.impact, document)?;
        for (index, step) in plan.steps.iter().enumerate() {
            let at = KeyPath::top("steps").index(index).key("budgets");
            refuse(at, step.impact, document)?;
        }
        if profile == Profile::Strict {
            notes.push(
                "profile strict: nothing is judged of requests, their p99 and time-outs, as no traffic is run"
                    .to_owned(),
            );
        }
    }
    fill(&mut plan.policy, profile, traffic);
    Ok(())
}

fn refuse(at: KeyPath, impact: Impact, document: Option<&Document<'_>>) -> Result<()> {
    let set = [impact.p99_increase.is_some(), impact.timeouts.is_some()];
    let Some(name) = NEED_TRAFFIC
        .into_iter()
        .zip(set)
        .find_map(|(name, set)| set.then_some(name))
    else {
        return Ok(());
    };
    let message = "is a budget of requests, and no traffic is run";
    let error = match document {
        Some(document) => document.error(&at.key(name), message),
        None => Error::usage(format!("`{name}` {message}")),
    };
    Err(error.help("add `traffic` to the scenario or `--traffic`, or leave the budget out"))
}

fn duration(value: &Value) -> Result<Duration, Unfit> {
    units::with_unit(value).and_then(|text| units::duration(&text))
}

fn increase(value: &Value) -> Result<Increase, Unfit> {
    let text = units::with_unit(value)?;
    let Some(percent) = text.trim().strip_suffix('%') else {
        return units::duration(&text).map(Increase::By);
    };
    let percent = percent.trim().parse::<f64>().ok();
    percent
        .filter(|percent| percent.is_finite() && *percent >= 0.0)
        .map(Increase::Percent)
        .ok_or_else(|| {
            Unfit::new(
                format!("is no percentage: `{}`", text.trim()),
                "write it like `\"50%\"` or as a time like `\"20ms\"`",
            )
        })
}

fn example(name: &str) -> &'static str {
    match name {
        "blocked_requests" | "timeouts" => "0",
        "p99_increase" => "\"20ms\"",
        _ => "\"500ms\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_fills_only_what_is_not_set() {
        let mut policy = Policy::default();
        policy.impact.exclusion = Some(Duration::from_secs(9));
        fill(&mut policy, Profile::Usual, true);
        assert_eq!(policy.impact.victim_wait, None);
        fill(&mut policy, Profile::Strict, false);
        assert_eq!(policy.impact.exclusion, Some(Duration::from_secs(9)));
        assert_eq!(policy.impact.victim_wait, Impact::STRICT.victim_wait);
        assert_eq!(policy.impact.timeouts, None, "no traffic can tell");
        fill(&mut policy, Profile::Strict, true);
        assert_eq!(policy.impact.timeouts, Some(0));
    }

    #[test]
    fn an_increase_is_a_time_or_a_share() {
        let read = |text: &str| increase(&Value::String(text.to_owned()));
        assert_eq!(read("20ms"), Ok(Increase::By(Duration::from_millis(20))));
        assert_eq!(read(" 50 % "), Ok(Increase::Percent(50.0)));
        for wrong in ["", "20", "-5%", "x%", "inf%"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_allows_more_is_looser() {
        let of = |exclusion, increase| Impact {
            exclusion: Some(Duration::from_millis(exclusion)),
            p99_increase: increase,
            ..Impact::default()
        };
        let name = |own, general| looser(own, general).map(|(name, _)| name);
        assert_eq!(name(of(5, None), of(5, None)), None);
        assert_eq!(name(of(6, None), of(5, None)), Some("exclusion"));
        assert_eq!(name(of(6, None), Impact::default()), None);
        let (a, b) = (
            Increase::Percent(5.0),
            Increase::By(Duration::from_millis(1)),
        );
        assert_eq!(name(of(1, Some(a)), of(1, Some(b))), Some("p99_increase"));
    }
}
