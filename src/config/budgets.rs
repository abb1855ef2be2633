//! Budgets as typed → budgets as decided, a step's looser ones only with their reason.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::str::FromStr;

use super::document::{Document, KeyPath};
use super::impact;
use super::scenario::{BudgetText, StepText};
use super::suggest::{listed, nearest};
use super::units;
use crate::Result;
use crate::pg::LockMode;
use crate::plan::{Budget, Level, Policy};

/// The budgets of a table, the strongest mode first.
///
/// # Errors
///
/// For a mode that is unknown, not sampled or named twice, and for a limit that is no duration.
pub fn read(
    document: &Document<'_>,
    at: &KeyPath,
    typed: &BTreeMap<String, BudgetText>,
) -> Result<Vec<Budget>> {
    let mut budgets: Vec<Budget> = Vec::new();
    for (name, budget) in typed {
        if impact::KEYS.contains(&name.as_str()) {
            continue;
        }
        let at = at.key(name);
        let mode = mode(document, &at, name)?;
        if budgets.iter().any(|budget| budget.mode == mode) {
            let message = format!("is a second budget for `{mode}`");
            return Err(document.error(&at, &message).help("leave one of them out"));
        }
        let (at, limit, level) = match budget {
            BudgetText::Limit(limit) => (at, limit, Level::Fail),
            BudgetText::Detailed(detailed) => match &detailed.limit {
                Some(limit) => (
                    at.key("limit"),
                    limit,
                    detailed.level.unwrap_or(Level::Fail),
                ),
                None => {
                    return Err(document
                        .error(&at, "lacks its `limit`")
                        .help("add it, such as `limit = \"50ms\"`"));
                }
            },
        };
        let limit = units::with_unit(limit)
            .and_then(|text| units::duration(&text))
            .map_err(|unfit| document.unfit(&at, unfit))?;
        budgets.push(Budget {
            mode,
            limit,
            level,
            reason: None,
        });
    }
    budgets.sort_by_key(|budget| Reverse(budget.mode));
    Ok(budgets)
}

/// A step's own budgets; the scenario's `policy` says which of them need a reason.
///
/// # Errors
///
/// As for [`read`], for a looser budget without a reason and for a reason without a budget.
pub fn of_step(
    document: &Document<'_>,
    at: &KeyPath,
    step: &StepText,
    policy: &Policy,
) -> Result<Vec<Budget>> {
    let mut budgets = read(document, &at.key("budgets"), &step.budgets)?;
    let reason = step
        .reason
        .as_deref()
        .map(str::trim)
        .filter(|reason| !reason.is_empty());
    if step.reason.is_some() && step.budgets.is_empty() {
        return Err(document
            .error(
                &at.key("reason"),
                "explains a budget, and the step has none of its own",
            )
            .help("add `budgets`, or leave `reason` out"));
    }
    for budget in &mut budgets {
        if let (Some(how), None) = (looser(budget, policy), reason) {
            return Err(document
                .error(&at.key("budgets"), &format!("{how}, without a reason"))
                .help("add `reason = \"…\"` to the step: why it may take longer here"));
        }
        budget.reason = reason.map(ToOwned::to_owned);
    }
    Ok(budgets)
}

/// How the budget is looser than the scenario's; None when it is not.
fn looser(own: &Budget, policy: &Policy) -> Option<String> {
    let general = policy.budget_for(own.mode, &[])?;
    let mode = own.mode;
    if own.limit > general.limit {
        Some(format!(
            "allows `{mode}` {:?} where the scenario allows {:?}",
            own.limit, general.limit
        ))
    } else if own.level == Level::Warn && general.level == Level::Fail {
        Some(format!("only warns of `{mode}` where the scenario fails"))
    } else {
        None
    }
}

fn mode(document: &Document<'_>, at: &KeyPath, name: &str) -> Result<LockMode> {
    let watched = || listed(LockMode::WATCHED.iter().rev().map(|mode| mode.name()));
    let Ok(mode) = LockMode::from_str(name) else {
        let known = LockMode::ALL
            .iter()
            .flat_map(|mode| [mode.name(), mode.sql()])
            .chain(impact::KEYS);
        return Err(document
            .error(at, "is no lock mode")
            .help(match nearest(name, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("a budget limits {}", watched()),
            }));
    };
    if !LockMode::WATCHED.contains(&mode) {
        return Err(document
            .error(
                at,
                "limits a mode that stops no application, and is not sampled",
            )
            .help(format!("a budget limits {}", watched())));
    }
    Ok(mode)
}
