//! The queue of a step: facts → model, and its line for a terminal.

use super::build::{moment, span};
use super::model::impact as model;
use super::model::{Hold, Report, Span, Step};
use super::text::{self, ms, short};
use crate::analyse::impact as facts;
use crate::bounds::Bounds;
use crate::judge::Verdict;
use crate::pg::LockMode;

/// How much of a query a line bears.
const QUOTE: usize = 30;

/// As the report has it.
pub fn of(queue: &facts::Queue) -> model::Queue {
    model::Queue {
        waits: queue.waits.iter().map(wait).collect(),
        exclusions: queue.exclusions.iter().map(exclusion).collect(),
        exclusion_ms: queue.excluded.map(span),
        deepest: queue.deepest.map_or(0, |deepest| deepest.sessions),
        depth: queue
            .depth
            .iter()
            .map(|point| (ms(point.at), point.sessions))
            .collect(),
        victim: queue.victim.as_ref().map(|victim| model::Victim {
            session: stander(&victim.session),
            waited_ms: span(victim.waited),
            chain: victim.chain.iter().map(stander).collect(),
        }),
        longest_ms: queue.longest.map(span),
        blocked: queue.blocked,
        surely_blocked: queue.surely_blocked,
        downtime_ms: queue.downtime.map(span),
        lock_timeouts: queue.lock_timeouts.iter().map(lock_timeout).collect(),
        rested_ms: ms(queue.rested),
        unseen_ms_max: ms(queue.unseen),
    }
}

fn wait(wait: &facts::Wait) -> model::Wait {
    model::Wait {
        relation: wait.relation.clone(),
        mode: wait.mode,
        pid: wait.pid,
        asked_ms: moment(wait.asked),
        waited_ms: span(wait.waited),
        granted: wait.ended == facts::WaitEnd::Granted,
        statement: wait.statement.clone(),
        behind: wait.behind.iter().map(stander).collect(),
    }
}

fn exclusion(exclusion: &facts::Exclusion) -> model::Exclusion {
    model::Exclusion {
        relation: exclusion.relation.clone(),
        pid: exclusion.pid,
        asked_ms: moment(exclusion.asked),
        lasted_ms: span(exclusion.lasted),
        granted: exclusion.ended == facts::WaitEnd::Granted,
        blocked: exclusion.blocked,
    }
}

fn stander(stander: &facts::Stander) -> model::Stander {
    model::Stander {
        pid: stander.pid,
        who: stander.who.clone(),
        query: stander.query.clone(),
    }
}

fn lock_timeout(timeout: &facts::LockTimeout) -> model::LockTimeout {
    model::LockTimeout {
        statement: timeout.statement.clone(),
        mode: timeout.mode,
        in_force: match timeout.in_force {
            facts::InForce::Limit(_) => model::InForce::Limit,
            facts::InForce::Nothing => model::InForce::Nothing,
            facts::InForce::Unknown => model::InForce::Unknown,
        },
        limit_ms: match timeout.in_force {
            facts::InForce::Limit(limit) => Some(ms(limit)),
            _ => None,
        },
    }
}

/// A line for each step that waited for a lock, and one for each beside which somebody else had the strongest one:
/// what the table does not show. Empty where there is nothing of it.
pub fn lines(report: &Report) -> Vec<String> {
    report
        .steps
        .iter()
        .filter(|step| step.verdict != Verdict::NotRun)
        .flat_map(|step| [line(step), of_others(&step.name, &step.foreign_holds)])
        .flatten()
        .collect()
}

/// The longest time for which somebody else stopped reads and writes, such as a vacuum that truncates.
fn of_others(step: &str, foreign: &[Hold]) -> Option<String> {
    let longest = foreign
        .iter()
        .filter(|hold| hold.mode == LockMode::AccessExclusiveLock && hold.hold_ms.at_least > 0.0)
        .max_by(|a, b| a.hold_ms.at_least.total_cmp(&b.hold_ms.at_least))?;
    let by = longest.granted_by.as_deref().unwrap_or("a session");
    Some(format!(
        "{}: another session held {} in ACCESS EXCLUSIVE for {}, which is not charged: {}",
        short(step, 24),
        longest.relation,
        shown(longest.hold_ms),
        short(by, QUOTE),
    ))
}

fn line(step: &Step) -> Option<String> {
    let queue = step.queue.as_ref()?;
    let longest = queue
        .waits
        .iter()
        .max_by(|a, b| most(a.waited_ms).total_cmp(&most(b.waited_ms)))?;
    let mut parts = vec![format!(
        "{} waited {} for {}",
        short(&step.name, 24),
        shown(longest.waited_ms),
        longest.relation.as_deref().unwrap_or("others to end"),
    )];
    if let Some(root) = longest.behind.last() {
        parts[0].push_str(&format!(" behind {}", root.who));
        if !root.query.is_empty() {
            parts[0].push_str(&format!(": {}", short(&root.query, QUOTE)));
        }
    }
    if let Some(excluded) = queue.exclusion_ms {
        let several = queue.exclusions.len() > 1;
        let in_all = if several { " in all" } else { "" };
        parts.push(format!("excluded {}{in_all}", shown(excluded)));
    }
    if queue.deepest > 0 {
        parts.push(format!("up to {} behind it", queue.deepest));
    }
    Some(parts.join("; "))
}

fn most(span: Span) -> f64 {
    span.at_most.unwrap_or(f64::INFINITY)
}

fn shown(span: Span) -> String {
    let duration = |ms: f64| {
        std::time::Duration::try_from_secs_f64(ms / 1e3).unwrap_or(std::time::Duration::MAX)
    };
    text::bounds(Bounds::new(
        duration(span.at_least),
        span.at_most.map(duration),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(mode: LockMode, at_least: f64) -> Hold {
        let span = |at_least| Span {
            at_least,
            at_most: Some(50.0),
        };
        Hold {
            relation: "items".to_owned(),
            parent: None,
            mode,
            pid: 7,
            hold_ms: span(at_least),
            wait_ms: span(0.0),
            asked_at_ms: None,
            granted_at_ms: span(1.0),
            released_at_ms: span(40.0),
            granted_by: Some("VACUUM items".to_owned()),
            lengthened_by: Vec::new(),
            judged: false,
        }
    }

    #[test]
    fn a_lock_of_others_is_told_if_it_surely_stopped_everybody() {
        let exclusive = LockMode::AccessExclusiveLock;
        let both = [held(exclusive, 20.0), held(exclusive, 30.0)];
        assert_eq!(
            of_others("a", &both).as_deref(),
            Some(
                "a: another session held items in ACCESS EXCLUSIVE for 30–50 ms, which is not charged: VACUUM items"
            )
        );
        assert_eq!(of_others("a", &[held(exclusive, 0.0)]), None);
        assert_eq!(of_others("a", &[held(LockMode::ShareLock, 30.0)]), None);
        assert_eq!(of_others("a", &[]), None);
    }
}
