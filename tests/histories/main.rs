//! Properties of the analysis, on made-up runs with several sessions, tables and steps whose truth is
//! known. `tests/bounds.rs` has the simpler ones of one session.

mod history;
mod told;
mod watch;
mod world;

use std::time::Duration;

use lockproof::analyse::{Analyst, Hold, StepFacts, Timeline};
use lockproof::bounds::Bounds;
use lockproof::judge::{FindingKind, Judgement, Verdict, judge};
use lockproof::pg::LockMode;
use lockproof::plan::{
    Budget, Cadence, Impact, Level, Literals, OnWarning, Policy, ScenarioId, StepKind,
};
use lockproof::recording::format::{Event, Header, StepHeader, VERSION};
use lockproof::report::build;
use proptest::prelude::*;

use history::{Lock, Who};
use world::{Step, StepSeed, World, seed};

fn header(steps: usize, gap_floor: Duration) -> Header {
    let step = |index| StepHeader {
        name: format!("step {index}"),
        impact: Default::default(),
        lock_timeout_ns: None,
        kind: StepKind::Sql,
        budgets: Vec::new(),
        wrap: None,
        by_key: None,
        may_do_nothing: false,
    };
    Header {
        lockproof_recording: VERSION,
        tool_version: "0".to_owned(),
        run_id: "0".to_owned(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        scenario: ScenarioId {
            name: "made-up".to_owned(),
            digest: String::new(),
        },
        policy: Policy::default(),
        steps: (0..steps).map(step).collect(),
        traffic: None,
        disturbances: Vec::new(),
        interval: Duration::from_millis(2),
        cadence: Cadence::Fixed,
        gap_floor,
        replays: 1,
        repeat: 1,
        jobs: 1,
        literals: Literals::Hidden,
        notes: Vec::new(),
    }
}

fn timeline(world: &World, events: Vec<Event>) -> Timeline {
    let mut analyst = Analyst::new(header(world.steps.len(), world.floor));
    for event in events {
        analyst.push(event);
    }
    analyst.finish()
}

/// One source after the other.
fn in_turn(world: &World) -> Timeline {
    timeline(world, world.events(|_| 0))
}

fn contains(bounds: Bounds, truth: u64) -> bool {
    let truth = Duration::from_nanos(truth);
    truth >= bounds.at_least() && bounds.at_most().is_none_or(|most| truth <= most)
}

/// The holds that a poll of the step showed, of sessions that are somebody's.
fn shown<'a>(step: &'a Step, whose: &'a [Who]) -> impl Iterator<Item = &'a Lock> {
    step.lanes
        .iter()
        .filter(|lane| whose.contains(&lane.who))
        .flat_map(|lane| &lane.locks)
        .filter(|lock| step.seen.iter().any(|(at, _)| lock.is_held(*at)))
}

/// Whether a reported hold can be a true one.
fn fits(hold: &Hold, lock: &Lock) -> bool {
    let granted = lock.granted.unwrap_or_default();
    hold.relation == lock.relation.to_string()
        && hold.mode == lock.mode
        && (hold.pid == lock.pid || (hold.pid == 0 && lock.prepared.is_some()))
        && contains(hold.hold, lock.released - granted)
        && contains(hold.wait, granted - lock.asked)
}

/// Whether each of the reported holds is a true one of its own.
fn one_to_one(holds: &[&Hold], locks: &[&Lock]) -> bool {
    let Some((hold, holds)) = holds.split_first() else {
        return locks.is_empty();
    };
    (0..locks.len()).any(|at| {
        let mut others = locks.to_vec();
        fits(hold, others.remove(at)) && one_to_one(holds, &others)
    })
}

fn truth_is_told(step: &Step, facts: &StepFacts) -> Result<(), TestCaseError> {
    let program = facts.command.is_some();
    let (ours, others): (&[Who], &[Who]) = if program {
        (&[Who::Program, Who::Stranger], &[Who::Autovacuum])
    } else {
        (&[Who::Driven], &[Who::Stranger, Who::Autovacuum])
    };
    for (told, whose) in [(&facts.holds, ours), (&facts.foreign_holds, others)] {
        let foreign = whose == others;
        let locks: Vec<&Lock> = shown(step, whose)
            .filter(|lock| foreign || !lock.is_new())
            .collect();
        let relations: std::collections::BTreeSet<u32> =
            locks.iter().map(|lock| lock.relation).collect();
        prop_assert_eq!(told.len(), locks.len(), "{:#?}\n{:#?}", told, locks);
        for relation in relations {
            let name = relation.to_string();
            let told: Vec<&Hold> = told.iter().filter(|hold| hold.relation == name).collect();
            let mut locks = locks.clone();
            locks.retain(|lock| lock.relation == relation);
            prop_assert!(one_to_one(&told, &locks), "{:#?}\n{:#?}", told, locks);
        }
    }
    let made = shown(step, &[Who::Driven, Who::Program]).filter(|lock| lock.is_new());
    prop_assert_eq!(facts.ignored_holds, made.count() as u64);
    Ok(())
}

fn victims_are_told(step: &Step, facts: &StepFacts) -> Result<(), TestCaseError> {
    let waits = |lock: &Lock| {
        let rows = step.seen.iter().map(|(at, _)| lock.rows(*at).len());
        rows.sum::<usize>() > 0
    };
    for victim in &step.victims {
        let told = facts
            .blocked
            .iter()
            .find(|told| told.pid == victim.lock.pid);
        prop_assert_eq!(told.is_some(), waits(&victim.lock), "{:#?}", victim);
        let truth = victim.lock.released - victim.lock.asked;
        if let Some(told) = told {
            prop_assert!(contains(told.waited, truth), "{:#?} in {:#?}", truth, told);
        }
    }
    for told in &facts.blocked {
        // A program's session may have stood behind another of its own.
        let known = step
            .victims
            .iter()
            .any(|victim| victim.lock.pid == told.pid)
            || step
                .lanes
                .iter()
                .any(|lane| lane.pid == told.pid && lane.who == Who::Program);
        prop_assert!(known, "{:#?}", told);
    }
    Ok(())
}

/// What somebody asked for, from asked to released or given up.
fn asked_for<'a>(step: &'a Step, whose: &'a [Who]) -> impl Iterator<Item = &'a Lock> {
    step.lanes
        .iter()
        .filter(|lane| whose.contains(&lane.who))
        .flat_map(|lane| &lane.locks)
        .filter(|lock| lock.mode == LockMode::AccessExclusiveLock && !lock.is_new())
        .filter(|lock| step.seen.iter().any(|(at, _)| !lock.rows(*at).is_empty()))
}

/// The time that these cover together.
fn together(mut spans: Vec<(u64, u64)>) -> u64 {
    spans.sort_unstable();
    let (mut sum, mut until) = (0, 0);
    for (from, to) in spans {
        sum += to.saturating_sub(from.max(until));
        until = until.max(to);
    }
    sum
}

/// Each exclusion that was seen lies within the bounds of one of its own; so do all of them together, the longest
/// wait behind the migration, and the depth of the queue.
fn the_queue_is_told(step: &Step, facts: &StepFacts) -> Result<(), TestCaseError> {
    let queue = &facts.queue;
    let program = facts.command.is_some();
    let ours: &[Who] = if program {
        &[Who::Program, Who::Stranger]
    } else {
        &[Who::Driven]
    };
    let truth: Vec<&Lock> = asked_for(step, ours).collect();
    // A stranger who waits for the same beside a program may be a session of the program's own.
    let told = queue.exclusions.iter();
    let told = told.filter(|told| !(program && told.pid >= 5_000));
    prop_assert_eq!(
        told.count(),
        truth.len(),
        "{:#?}\n{:#?}",
        queue.exclusions,
        truth
    );
    for lock in &truth {
        let told = queue.exclusions.iter().any(|told| {
            (told.pid == lock.pid || told.pid == 0)
                && told.relation == lock.relation.to_string()
                && contains(told.lasted, lock.released - lock.asked)
                && told.asked.earliest.as_nanos() <= u128::from(lock.asked)
                && told
                    .asked
                    .latest
                    .is_none_or(|latest| latest.as_nanos() >= u128::from(lock.asked))
        });
        prop_assert!(told, "{:#?}\n{:#?}", lock, queue.exclusions);
    }
    let all = together(
        truth
            .iter()
            .map(|lock| (lock.asked, lock.released))
            .collect(),
    );
    prop_assert!(
        queue.excluded.is_none_or(|told| contains(told, all)),
        "{} {:?}",
        all,
        queue.excluded
    );
    let waits = |lock: &Lock, at: u64| lock.asked <= at && at < lock.released;
    let there = |at: u64| {
        step.victims
            .iter()
            .filter(|victim| waits(&victim.lock, at))
            .count() as u64
    };
    let deepest = step
        .seen
        .iter()
        .map(|(at, _)| there(*at))
        .max()
        .unwrap_or_default();
    let told = queue.deepest.map_or(0, |deepest| deepest.sessions);
    prop_assert!(told <= deepest, "{} of {}", told, deepest);
    if step.victims.iter().all(|victim| !victim.lock.is_new()) {
        prop_assert_eq!(told, deepest, "{:#?}\n{:#?}", queue, step.victims);
    }
    let seen = step
        .victims
        .iter()
        .filter(|victim| step.seen.iter().any(|(at, _)| waits(&victim.lock, *at)));
    let seen: Vec<u64> = seen
        .map(|victim| victim.lock.released - victim.lock.asked)
        .collect();
    prop_assert_eq!(queue.blocked, seen.len() as u64);
    prop_assert!(queue.surely_blocked <= queue.blocked);
    let longest = seen.into_iter().max();
    prop_assert_eq!(queue.longest.is_some(), longest.is_some());
    if let (Some(told), Some(longest)) = (queue.longest, longest) {
        prop_assert!(contains(told, longest), "{} in {:?}", longest, told);
    }
    if let Some(downtime) = queue.downtime {
        let most = together(
            truth
                .iter()
                .map(|lock| (lock.asked, lock.released))
                .collect(),
        );
        prop_assert!(downtime.at_least().as_nanos() <= u128::from(most));
    }
    Ok(())
}

/// The longest true holds of the migration in a mode: those that are surely its own, and those that
/// may be.
fn longest(step: &Step, mode: LockMode, whose: &[Who]) -> Duration {
    let locks = step.lanes.iter().filter(|lane| whose.contains(&lane.who));
    let lengths = locks
        .flat_map(|lane| &lane.locks)
        .filter(|lock| lock.mode == mode && !lock.is_new())
        .filter_map(|lock| Some(lock.released - lock.granted?));
    Duration::from_nanos(lengths.max().unwrap_or_default())
}

/// Whether anything that applications felt was truly over its budget.
fn felt_over(step: &Step, policy: &Policy, whose: &[Who], floor: Duration) -> bool {
    let over = |limit: Option<Duration>, longest: Option<u64>| {
        let longest = Duration::from_nanos(longest.unwrap_or_default());
        limit.is_some_and(|limit| longest > limit.max(floor))
    };
    let lanes = step.lanes.iter().filter(|lane| whose.contains(&lane.who));
    let exclusions = lanes
        .flat_map(|lane| &lane.locks)
        .filter(|lock| lock.mode == LockMode::AccessExclusiveLock && !lock.is_new())
        .map(|lock| lock.released - lock.asked);
    let waits = step
        .victims
        .iter()
        .map(|victim| victim.lock.released - victim.lock.asked);
    over(policy.impact.exclusion, exclusions.max()) || over(policy.impact.victim_wait, waits.max())
}

fn policy() -> impl Strategy<Value = Policy> {
    let limit = (10..80u64).prop_map(Duration::from_millis);
    let level = prop_oneof![Just(Level::Fail), Just(Level::Warn)];
    let on_warning = prop_oneof![Just(OnWarning::Report), Just(OnWarning::Fail)];
    let felt = || prop::option::of((10..80u64).prop_map(Duration::from_millis));
    let felt = (felt(), felt());
    let all = (prop::collection::vec((limit, level), 4), on_warning, felt);
    all.prop_map(|(limits, on_warning, (exclusion, victim_wait))| {
        let mut policy = Policy {
            on_warning,
            impact: Impact {
                exclusion,
                victim_wait,
                ..Impact::default()
            },
            ..Policy::default()
        };
        for (budget, (limit, level)) in policy.budgets.iter_mut().zip(limits) {
            *budget = Budget {
                limit,
                level,
                ..budget.clone()
            };
        }
        policy
    })
}

/// How many things are said of a step: holds that were said together count each.
fn said(judgement: &Judgement, step: usize) -> usize {
    let findings = judgement.steps[step].findings.iter();
    findings
        .map(|finding| match finding.kind {
            FindingKind::HoldExceeded { more, .. } | FindingKind::HoldUnproven { more, .. } => {
                1 + more
            }
            _ => 1,
        })
        .sum()
}

fn rank(verdict: Verdict) -> usize {
    [Verdict::Within, Verdict::Unproven, Verdict::Exceeded]
        .iter()
        .position(|other| *other == verdict)
        .unwrap_or(usize::MAX)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Each lock that a poll showed is reported once, as whose it is, and its true hold and wait lie
    /// within their bounds.
    #[test]
    fn what_was_seen_is_told_within_bounds(seed in seed()) {
        let world = World::of(&seed);
        let timeline = in_turn(&world);
        for (step, facts) in world.steps.iter().zip(&timeline.replays[0].steps) {
            truth_is_told(step, facts)?;
            victims_are_told(step, facts)?;
            the_queue_is_told(step, facts)?;
        }
    }

    /// Whatever the budgets: no step is within with a hold over one, none exceeded without.
    #[test]
    fn verdicts_are_never_wrong(seed in seed(), policy in policy()) {
        let world = World::of(&seed);
        let judgement = judge(&in_turn(&world), &policy);
        for (step, judged) in world.steps.iter().zip(&judgement.steps) {
            let over = |whose: &[Who]| policy.budgets.iter().any(|budget| {
                let counts = budget.level == Level::Fail || policy.on_warning == OnWarning::Fail;
                // Gaps up to the floor are not told one by one; a run's floor is below its budgets.
                counts && longest(step, budget.mode, whose) > budget.limit.max(world.floor)
            });
            let program = judged.facts.as_ref().is_some_and(|facts| facts.command.is_some());
            let maybe: &[Who] = if program {
                &[Who::Program, Who::Stranger]
            } else {
                &[Who::Driven]
            };
            match judged.verdict {
                Verdict::Within => {
                    prop_assert!(!over(maybe));
                    prop_assert!(!felt_over(step, &policy, maybe, world.floor));
                }
                Verdict::Exceeded => {
                    let surely: &[Who] = &[Who::Driven, Who::Program];
                    prop_assert!(over(surely) || felt_over(step, &policy, surely, Duration::ZERO));
                }
                verdict => prop_assert_eq!(verdict, Verdict::Unproven),
            }
        }
    }

    /// The sampler's and the sessions' events come in their own order each, but between each other in
    /// any: the report is the same.
    #[test]
    fn the_order_between_sources_changes_nothing(
        seed in seed(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..200),
    ) {
        let world = World::of(&seed);
        let mut picks = picks.iter().cycle();
        let shuffled = world.events(|count| picks.next().map_or(0, |pick| pick.index(count)));
        let (one, other) = (in_turn(&world), timeline(&world, shuffled));
        prop_assert_eq!(format!("{:?}", one.replays), format!("{:?}", other.replays));
        let policy = Policy::default();
        let report = |timeline| {
            let report = build::build(timeline, &judge(timeline, &policy), &policy);
            serde_json::to_string(&report).unwrap_or_default()
        };
        prop_assert_eq!(report(&one), report(&other));
    }

    /// Polls that are lost make no bound narrower and no unseen stretch shorter.
    #[test]
    fn fewer_polls_never_narrow(seed in seed(), keep in prop::collection::vec(prop::bool::weighted(0.7), 60)) {
        let mut seed = seed;
        seed.steps.iter_mut().for_each(StepSeed::give_room);
        let mut fewer = seed.clone();
        for step in &mut fewer.steps {
            step.drop_polls(&keep);
        }
        let (many, few) = (World::of(&seed), World::of(&fewer));
        let floor = many.floor;
        let (many_told, few_told) = (in_turn(&many), in_turn(&few));
        for (many, few) in many_told.replays[0].steps.iter().zip(&few_told.replays[0].steps) {
            // Below the floor only the longest gap is known, wherever in the step it was.
            prop_assert!(few.blind.max(floor) >= many.blind);
            let wider = |wide: Bounds, narrow: Bounds| {
                let most = |bounds: Bounds| bounds.at_most().unwrap_or(Duration::MAX);
                wide.at_least() <= narrow.at_least() && most(wide) >= most(narrow)
            };
            for wide in &few.holds {
                // Where one lock of the table was seen, both tell of the same one.
                let same = |hold: &&Hold| hold.relation == wide.relation;
                let mut narrow = many.holds.iter().filter(same);
                if let (Some(narrow), None) = (narrow.next(), narrow.next()) {
                    prop_assert!(wider(wide.hold, narrow.hold), "{:#?} {:#?}", wide, narrow);
                    prop_assert!(wider(wide.wait, narrow.wait), "{:#?} {:#?}", wide, narrow);
                }
            }
            for wide in &few.blocked {
                let narrow = many.blocked.iter().find(|narrow| narrow.pid == wide.pid);
                prop_assert!(narrow.is_none_or(|narrow| wider(wide.waited, narrow.waited)));
            }
        }
    }

    /// A looser budget makes no verdict worse and adds nothing that is said.
    #[test]
    fn a_looser_budget_adds_no_finding(
        seed in seed(),
        tight in policy(),
        which in 0..4usize,
        more in 1..80u64,
    ) {
        let world = World::of(&seed);
        let timeline = in_turn(&world);
        let mut loose = tight.clone();
        loose.budgets[which].limit += Duration::from_millis(more);
        let (tight, loose) = (judge(&timeline, &tight), judge(&timeline, &loose));
        prop_assert!(rank(loose.verdict) <= rank(tight.verdict));
        for step in 0..world.steps.len() {
            prop_assert!(rank(loose.steps[step].verdict) <= rank(tight.steps[step].verdict));
            prop_assert!(said(&loose, step) <= said(&tight, step));
        }
    }
}
