//! What several faces say in the same words: the verdict and its reason in a sentence, and each step's figures.

use std::borrow::Cow;

use super::model::impact::InForce;
use super::model::{Finding, Report, Span, Step};
use super::table::{duration, longest_of, millis};
use super::text;
use crate::bounds::Bounds;
use crate::judge::Verdict;
use crate::pg::LockMode;
use crate::plan::Level;
use crate::redact;

/// Why the verdict is what it is, in one sentence without a stop; backticks stand around names and SQL.
pub(super) fn why(report: &Report) -> String {
    if let Some(finding) = decisive(report) {
        let message = finding.message.lines().next().unwrap_or_default();
        return format!("`{}`: {message}", finding.step);
    }
    match report.verdict {
        Verdict::Within => format!("every budget was kept; {}", longest_hold(report)),
        Verdict::Exceeded => "a budget was exceeded".to_owned(),
        Verdict::Failed => "a statement or a program of the migration failed".to_owned(),
        Verdict::Unproven | Verdict::NotRun => {
            "the run proves nothing: it did not get to the end of the migration".to_owned()
        }
    }
}

/// The finding that decided the verdict.
pub(super) fn decisive(report: &Report) -> Option<&Finding> {
    if report.verdict == Verdict::Within {
        return None;
    }
    let worst = |finding: &&Finding| {
        let step = report.steps.iter().find(|step| step.name == finding.step);
        step.is_some_and(|step| step.verdict == report.verdict)
    };
    let failing = report.findings.iter().filter(|f| f.level == Level::Fail);
    let mut of_worst = failing.filter(worst);
    match report.verdict {
        Verdict::Failed => of_worst.find(|finding| finding.rule == "step-failed"),
        _ => of_worst.next(),
    }
}

/// A migration without any `lock_timeout` is one thing to tell and to mend, not one for each step.
const TOLD_ONCE: &str = "no-lock-timeout";

/// The findings in order; those that are told once are one, behind the others, with the names of all their steps.
pub(super) fn findings(report: &Report) -> Vec<Cow<'_, Finding>> {
    let all = report.findings.iter();
    let (once, mut told): (Vec<_>, Vec<_>) = all
        .map(Cow::Borrowed)
        .partition(|finding| finding.rule == TOLD_ONCE);
    // The first of those that keep most people out.
    let worst = once
        .iter()
        .rev()
        .max_by_key(|finding| strongest(report, &finding.step));
    if let Some(worst) = worst {
        let others = once.iter().filter(|other| other.step != worst.step);
        let others: Vec<&str> = others.map(|other| other.step.as_str()).collect();
        told.push(Cow::Owned(Finding {
            message: worst.message.clone() + &as_well_in(&others),
            ..Finding::clone(worst)
        }));
    }
    told
}

/// The strongest mode that a step asked for without a `lock_timeout`.
fn strongest(report: &Report, step: &str) -> Option<LockMode> {
    let step = report.steps.iter().find(|one| one.name == step)?;
    let timeouts = step.queue.iter().flat_map(|queue| &queue.lock_timeouts);
    let endless = timeouts.filter(|timeout| timeout.in_force == InForce::Nothing);
    endless.map(|timeout| timeout.mode).max()
}

/// `; `a`, `b` and `c` have statements without one as well`.
fn as_well_in(steps: &[&str]) -> String {
    const NAMED: usize = 6;
    let mut names: Vec<String> = steps
        .iter()
        .take(NAMED)
        .map(|step| format!("`{step}`"))
        .collect();
    match steps.len().saturating_sub(NAMED) {
        0 => {}
        more => names.push(format!("{more} more")),
    }
    match names.as_slice() {
        [] => String::new(),
        [only] => format!("; {only} has statements without one as well"),
        [others @ .., last] => format!(
            "; {} and {last} have statements without one as well",
            others.join(", ")
        ),
    }
}

fn longest_hold(report: &Report) -> String {
    let longest = |step: &Step| longest_of(&step.holds).map(|hold| hold.hold_ms);
    let most = |span: &Span| span.at_most.unwrap_or(f64::INFINITY);
    let steps = report.steps.iter();
    let held = steps.filter_map(|step| Some((step, longest(step)?)));
    match held.max_by(|a, b| most(&a.1).total_cmp(&most(&b.1))) {
        Some((step, hold)) => format!(
            "the longest ACCESS EXCLUSIVE took {}, in `{}`",
            span(hold),
            step.name
        ),
        None => "no ACCESS EXCLUSIVE was seen".to_owned(),
    }
}

/// `2.79–2.80 s`, `≤ 3.2 ms`, `≥ 52 ms`.
pub(super) fn span(span: Span) -> String {
    text::bounds(Bounds::new(
        duration(span.at_least),
        span.at_most.map(duration),
    ))
}

/// The longest ACCESS EXCLUSIVE hold, or what is proved where none was seen.
pub(super) fn hold(step: &Step) -> String {
    match longest_of(&step.holds) {
        Some(hold) => span(hold.hold_ms),
        None if step.elapsed_ms.is_none() => "–".to_owned(),
        None if step.unseen_ms_max == 0.0 => "none".to_owned(),
        None => format!("< {}", millis(step.unseen_ms_max.max(0.01))),
    }
}

/// How long ACCESS EXCLUSIVE was asked for or held; `–` where nobody looked.
pub(super) fn exclusion(step: &Step) -> String {
    match &step.queue {
        None => "–".to_owned(),
        Some(queue) => queue.exclusion_ms.map_or_else(|| "none".to_owned(), span),
    }
}

/// How many stood behind the migration.
pub(super) fn blocked(step: &Step) -> u64 {
    let seen = u64::try_from(step.blocked.len()).unwrap_or(u64::MAX);
    step.queue.as_ref().map_or(seen, |queue| queue.blocked)
}

/// The budget of ACCESS EXCLUSIVE, the run's.
pub(super) fn budget(report: &Report) -> Option<String> {
    let budgets = &report.policy.budgets;
    let exclusive = budgets
        .iter()
        .find(|budget| budget.mode == LockMode::AccessExclusiveLock);
    exclusive.map(|budget| millis(budget.limit_ms))
}

/// A letter or two for each mode, as small as the picture needs it.
pub(super) fn short_mode(mode: LockMode) -> &'static str {
    match mode {
        LockMode::AccessShareLock => "AS",
        LockMode::RowShareLock => "RS",
        LockMode::RowExclusiveLock => "RX",
        LockMode::ShareUpdateExclusiveLock => "SUX",
        LockMode::ShareLock => "S",
        LockMode::ShareRowExclusiveLock => "SRX",
        LockMode::ExclusiveLock => "X",
        LockMode::AccessExclusiveLock => "AX",
    }
}

/// As a sentence begins; code stays as it is.
pub(super) fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Letters that no document may hold, or that would turn what stands behind them round, made visible.
pub(super) fn visible(text: &str) -> String {
    redact::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_steps_are_named_while_there_are_few() {
        assert_eq!(as_well_in(&[]), "");
        assert_eq!(
            as_well_in(&["a"]),
            "; `a` has statements without one as well"
        );
        assert_eq!(
            as_well_in(&["a", "b", "c"]),
            "; `a`, `b` and `c` have statements without one as well"
        );
        assert_eq!(
            as_well_in(&["a"; 8]),
            "; `a`, `a`, `a`, `a`, `a`, `a` and 2 more have statements without one as well"
        );
    }

    #[test]
    fn controls_are_made_visible() {
        assert_eq!(
            visible("a\u{0}\u{1b}[1m\r\n\tb\u{85}\u{202e}שלום"),
            "a\\x00\\x1b[1m\n\tb\\x85\\u{202e}שלום"
        );
    }
}
