//! What applications felt × its budgets. Pure.
//!
//! Times are bounds and are judged like holds. A wait that was seen to stand behind the migration by its place in the
//! queue alone, without the server's word, is counted, but proves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Verdict;
use crate::analyse::impact::{Exclusion, OperationFacts, Victim};
use crate::analyse::{StepFacts, TrafficFacts};
use crate::bounds::{Bounds, Proof};
use crate::pg::LockMode;
use crate::plan::{Impact, Increase};
use crate::recording::traffic::{Ending, TrafficHeader, Window};

/// What there is to say of it.
#[derive(Debug, Clone)]
pub enum Felt {
    /// ACCESS EXCLUSIVE surely took longer from asked to released than its budget.
    ExclusionExceeded {
        /// The longest.
        exclusion: Exclusion,
        /// How many more there are.
        more: usize,
        /// The budget.
        limit: Duration,
    },
    /// The budget lies between an exclusion's bounds.
    ExclusionUnproven {
        /// The longest.
        exclusion: Exclusion,
        /// The budget.
        limit: Duration,
    },
    /// Somebody waited behind the migration for longer than the budget, or may have.
    VictimWait {
        /// How long the longest wait was.
        waited: Bounds,
        /// Whose it was, as far as that is known.
        victim: Victim,
        /// The budget.
        limit: Duration,
        /// Whether it is proved.
        proved: bool,
    },
    /// More waits than the budget stood behind the migration.
    RequestsBlocked {
        /// Waits that were seen.
        seen: u64,
        /// Those that surely stood behind it.
        surely: u64,
        /// The budget.
        limit: u64,
        /// Who waited longest.
        victim: Option<Victim>,
    },
    /// The 99th percentile of an operation grew by more than its budget, or may have.
    P99Increased {
        /// The operation.
        operation: String,
        /// What it was before the first step; None: there was no request.
        before: Option<Duration>,
        /// What it was during the step.
        after: Duration,
        /// How many requests there were before and during it.
        requests: (u64, u64),
        /// The budget.
        limit: Increase,
        /// Whether it is proved.
        proved: bool,
    },
    /// More requests than the budget timed out or got no connection.
    RequestsLost {
        /// Given up.
        timed_out: u64,
        /// Without a connection.
        refused: u64,
        /// The budget.
        limit: u64,
    },
    /// Requests failed as none did before the first step.
    RequestsFailed {
        /// The operation of which most did.
        operation: String,
        /// How many did.
        failed: u64,
        /// All of its requests meanwhile.
        requests: u64,
        /// How many with which SQLSTATE; `connection` where the connection broke.
        sqlstates: BTreeMap<String, u64>,
        /// Whether those after the step are among them: it is the last.
        after: bool,
        /// How many other operations failed so.
        others: usize,
    },
    /// There is a budget of requests, and nothing was measured of them.
    NotMeasured,
    /// A statement asked for a lock that stops writes, or reads as well, and nothing would have ended its wait.
    NoLockTimeout {
        /// The first such statement, of those that asked for the strongest mode.
        statement: String,
        /// That mode.
        mode: LockMode,
        /// How many more there are.
        more: usize,
    },
    /// `lock_timeout` struck, and the step tried again.
    Retried {
        /// Attempts in all.
        attempts: u32,
        /// Rests between them, together.
        rested: Duration,
        /// All exclusions together; None: none was seen.
        excluded: Option<Bounds>,
        /// How long the step took; None: it did not end.
        took: Option<Duration>,
    },
}

/// Of fewer requests the 99th percentile is the slowest one: a matter of luck.
pub const ENOUGH: u64 = 100;

/// What there is to say of a step, and what each makes of its verdict.
pub fn judge(
    facts: &StepFacts,
    planned: Option<&TrafficHeader>,
    traffic: Option<&TrafficFacts>,
    limits: Impact,
) -> Vec<(Felt, Verdict)> {
    let mut found = Vec::new();
    if let Some(limit) = limits.exclusion {
        found.extend(exclusion(&facts.queue.exclusions, limit));
    }
    if let Some(limit) = limits.victim_wait {
        found.extend(victim_wait(facts, limit));
    }
    if let Some(limit) = limits.blocked_requests {
        found.extend(blocked(facts, limit));
    }
    let measured = limits.timeouts.is_some() || limits.p99_increase.is_some();
    match traffic {
        None if measured => found.push((Felt::NotMeasured, Verdict::Unproven)),
        None => {}
        Some(traffic) => {
            if let Some(limit) = limits.timeouts {
                found.extend(lost(facts.step, traffic, limit));
            }
            if let Some(limit) = limits.p99_increase {
                found.extend(p99(facts.step, planned, traffic, limit));
            }
        }
    }
    found
}

/// The longest exclusion that is proved to be too long, else the one that comes closest to it.
fn exclusion(exclusions: &[Exclusion], limit: Duration) -> Option<(Felt, Verdict)> {
    let of = |proof: Proof| {
        exclusions
            .iter()
            .filter(move |exclusion| exclusion.lasted.against(limit) == proof)
    };
    let exceeded = of(Proof::Exceeded).max_by_key(|exclusion| exclusion.lasted.at_least());
    if let Some(longest) = exceeded {
        let kind = Felt::ExclusionExceeded {
            exclusion: longest.clone(),
            more: of(Proof::Exceeded).count() - 1,
            limit,
        };
        return Some((kind, Verdict::Exceeded));
    }
    let most = |exclusion: &&Exclusion| exclusion.lasted.at_most().unwrap_or(Duration::MAX);
    let longest = of(Proof::Neither).max_by_key(most)?;
    let kind = Felt::ExclusionUnproven {
        exclusion: longest.clone(),
        limit,
    };
    Some((kind, Verdict::Unproven))
}

fn victim_wait(facts: &StepFacts, limit: Duration) -> Option<(Felt, Verdict)> {
    let (waited, victim) = facts.queue.longest.zip(facts.queue.victim.clone())?;
    let verdict = match waited.against(limit) {
        Proof::Within => return None,
        Proof::Exceeded => Verdict::Exceeded,
        Proof::Neither => Verdict::Unproven,
    };
    let kind = Felt::VictimWait {
        waited,
        victim,
        limit,
        proved: verdict == Verdict::Exceeded,
    };
    Some((kind, verdict))
}

fn blocked(facts: &StepFacts, limit: u64) -> Option<(Felt, Verdict)> {
    let queue = &facts.queue;
    let verdict = if queue.surely_blocked > limit {
        Verdict::Exceeded
    } else if queue.blocked > limit {
        Verdict::Unproven
    } else {
        return None;
    };
    let kind = Felt::RequestsBlocked {
        seen: queue.blocked,
        surely: queue.surely_blocked,
        limit,
        victim: queue.victim.clone(),
    };
    Some((kind, verdict))
}

/// Requests that were given up or got no connection while the step went on.
fn lost(step: usize, traffic: &TrafficFacts, limit: u64) -> Option<(Felt, Verdict)> {
    let operations = traffic.windows.get(&Window::Step(step))?;
    let count = |ending: Ending| {
        let counts = operations
            .values()
            .filter_map(|facts| facts.endings.counts.get(&ending));
        counts.fold(0, |sum: u64, count| sum.saturating_add(*count))
    };
    let (timed_out, refused) = (count(Ending::TimedOut), count(Ending::Refused));
    let kind = Felt::RequestsLost {
        timed_out,
        refused,
        limit,
    };
    (timed_out.saturating_add(refused) > limit).then_some((kind, Verdict::Exceeded))
}

/// The operation whose 99th percentile grew most.
fn p99(
    step: usize,
    planned: Option<&TrafficHeader>,
    traffic: &TrafficFacts,
    limit: Increase,
) -> Option<(Felt, Verdict)> {
    let operations = traffic.windows.get(&Window::Step(step))?;
    let baseline = traffic.windows.get(&Window::Baseline);
    let late = traffic.summary.as_ref();
    let late = late.map_or(Duration::ZERO, |summary| summary.lateness.max);
    let mut worst: Option<(Felt, Verdict, Duration)> = None;
    for (index, during) in operations {
        if during.latency.count == 0 {
            continue;
        }
        let before = baseline.and_then(|operations| operations.get(index));
        let before = before.filter(|facts| facts.latency.count > 0);
        let verdict = match against(before, during, late, limit) {
            Proof::Within => continue,
            Proof::Exceeded => Verdict::Exceeded,
            Proof::Neither => Verdict::Unproven,
        };
        let grown = during
            .latency
            .quantiles
            .p99
            .saturating_sub(before.map_or(Duration::ZERO, |facts| facts.latency.quantiles.p99));
        let kind = Felt::P99Increased {
            operation: name(planned, *index),
            before: before.map(|facts| facts.latency.quantiles.p99),
            after: during.latency.quantiles.p99,
            requests: (
                before.map_or(0, |facts| facts.latency.count),
                during.latency.count,
            ),
            limit,
            proved: verdict == Verdict::Exceeded,
        };
        let rank = |verdict: Verdict, grown| (verdict == Verdict::Exceeded, grown);
        let is_worse = worst
            .as_ref()
            .is_none_or(|(_, known, most)| rank(verdict, grown) > rank(*known, *most));
        if is_worse {
            worst = Some((kind, verdict, grown));
        }
    }
    worst.map(|(kind, verdict, _)| (kind, verdict))
}

/// An operation's name, or its place where the recording has none.
pub(super) fn name(planned: Option<&TrafficHeader>, place: usize) -> String {
    planned
        .and_then(|planned| planned.operations.get(place))
        .map_or_else(|| place.to_string(), |(name, _)| name.clone())
}

/// What two distributions prove about how much the 99th percentile grew.
///
/// Too few requests prove nothing but this: where not even the slowest is beyond the limit, no percentile is. By as
/// much as the generator was `late` at its latest, a latency may be no fault of the server's.
fn against(
    before: Option<&OperationFacts>,
    during: &OperationFacts,
    late: Duration,
    limit: Increase,
) -> Proof {
    let few = during.latency.count < ENOUGH;
    let after = if few {
        Bounds::new(Duration::ZERO, Some(during.latency.quantiles.max))
    } else {
        rounded(during.latency.quantiles.p99)
    };
    let usual = match before.filter(|before| before.latency.count >= ENOUGH) {
        Some(before) => rounded(before.latency.quantiles.p99),
        None => Bounds::new(Duration::ZERO, None),
    };
    let allowed = |usual: Duration| match limit {
        Increase::By(time) => usual.saturating_add(time),
        Increase::Percent(percent) => usual.mul_f64(1.0 + percent / 100.0),
    };
    let least = allowed(usual.at_least());
    let most = usual.at_most().map(allowed);
    if after.at_most().is_some_and(|after| after <= least) {
        Proof::Within
    } else if most.is_some_and(|most| after.at_least().saturating_sub(late) > most) {
        Proof::Exceeded
    } else {
        Proof::Neither
    }
}

/// What a latency was that is recorded in microseconds, rounded up to two significant digits.
fn rounded(latency: Duration) -> Bounds {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let digits = micros.checked_ilog10().unwrap_or(0);
    let step = 10u64.pow(digits.saturating_sub(1));
    let least = Duration::from_micros(micros.saturating_sub(step));
    Bounds::new(least, Some(latency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::impact::Latency;
    use crate::recording::format::Quantiles;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn of(count: u64, p99: u64, max: u64) -> OperationFacts {
        OperationFacts {
            latency: Latency {
                count,
                quantiles: Quantiles {
                    p50: MS(1),
                    p99: MS(p99),
                    max: MS(max),
                },
                p999: MS(max),
            },
            ..OperationFacts::default()
        }
    }

    #[test]
    fn a_percentile_is_what_it_was_before_rounding() {
        let bounds = |micros| {
            let bounds = rounded(Duration::from_micros(micros));
            (
                bounds.at_least().as_micros(),
                bounds.at_most().map(|most| most.as_micros()),
            )
        };
        assert_eq!(bounds(7), (6, Some(7)));
        assert_eq!(bounds(100), (90, Some(100)));
        assert_eq!(bounds(52_000), (51_000, Some(52_000)));
    }

    #[test]
    fn an_increase_is_proved_only_by_enough_requests_on_both_sides() {
        let limit = Increase::By(MS(20));
        let usual = of(1_000, 5, 9);
        let proof =
            |before: &OperationFacts, during| against(Some(before), &during, Duration::ZERO, limit);
        assert_eq!(proof(&usual, of(500, 24, 900)), Proof::Within);
        assert_eq!(proof(&usual, of(500, 60, 900)), Proof::Exceeded);
        assert_eq!(
            proof(&usual, of(500, 25, 900)),
            Proof::Neither,
            "within its rounding"
        );
        assert_eq!(proof(&usual, of(99, 60, 60)), Proof::Neither);
        assert_eq!(
            proof(&usual, of(99, 24, 24)),
            Proof::Within,
            "not even the slowest"
        );
        assert_eq!(proof(&of(99, 5, 5), of(500, 60, 900)), Proof::Neither);
        let late = |late| against(Some(&usual), &of(500, 60, 900), MS(late), limit);
        assert_eq!(late(30), Proof::Exceeded);
        assert_eq!(late(40), Proof::Neither, "it may be the generator's fault");
        assert_eq!(proof(&of(99, 5, 5), of(500, 19, 900)), Proof::Within);
    }

    #[test]
    fn an_increase_may_be_a_share() {
        let proof = |during| {
            against(
                Some(&of(1_000, 10, 20)),
                &during,
                Duration::ZERO,
                Increase::Percent(50.0),
            )
        };
        assert_eq!(proof(of(500, 13, 90)), Proof::Within);
        assert_eq!(proof(of(500, 17, 90)), Proof::Exceeded);
        assert_eq!(
            against(
                None,
                &of(500, 1, 1),
                Duration::ZERO,
                Increase::Percent(50.0)
            ),
            Proof::Neither
        );
    }
}
