//! Properties of the analysis, on made-up histories whose truth is known: whatever the placement of
//! the polls, every true hold lies within its bounds, and fewer polls never narrow them.

use std::time::Duration;

use lockproof::analyse::{Analyst, StepFacts};
use lockproof::bounds::Proof;
use lockproof::clock::Mono;
use lockproof::judge::{Verdict, judge};
use lockproof::pg::LockMode;
use lockproof::plan::{Cadence, Literals, Policy, ScenarioId, StepKind, Wrap};
use lockproof::recording::format::{
    Backend, Claim, Event, Header, LockRow, Origin, Outcome, Poll, Relation, SnapshotFacts,
    StepHeader, VERSION,
};
use lockproof::stage::StageKind;
use proptest::prelude::*;

const TABLE: u32 = 16_384;
const PID: i32 = 77;
const MS: u64 = 1_000_000;

/// A transaction as it truly went: statements, and the lock that the first of them took.
#[derive(Debug, Clone)]
struct Truth {
    /// Sending and reply of each statement; the last one ends the transaction.
    statements: Vec<(u64, u64)>,
    granted: u64,
    released: u64,
}

/// Transactions one after the other, with rests between.
fn history() -> impl Strategy<Value = Vec<Truth>> {
    let statement = (1..20 * MS, 0..3 * MS);
    let transaction = (
        prop::collection::vec(statement, 1..4),
        0.0..1.0f64,
        0.0..1.0f64,
    );
    prop::collection::vec(transaction, 1..6).prop_map(|transactions| {
        let mut now = MS;
        transactions
            .into_iter()
            .map(|(lengths, take, give)| {
                let statements: Vec<(u64, u64)> = lengths
                    .into_iter()
                    .map(|(length, rest)| {
                        now += rest;
                        let sent = now;
                        now += length;
                        (sent, now)
                    })
                    .collect();
                let within =
                    |(from, to): (u64, u64), part: f64| from + ((to - from) as f64 * part) as u64;
                let granted = within(statements[0], take);
                let last = statements[statements.len() - 1];
                let released = within((last.0.max(granted), last.1), give);
                Truth {
                    statements,
                    granted,
                    released,
                }
            })
            .collect()
    })
}

/// Polls: the rest before each, its length, and where within it the server took its snapshot.
fn polls() -> impl Strategy<Value = Vec<(u64, u64, f64)>> {
    prop::collection::vec((0..6 * MS, 1..MS, 0.0..1.0f64), 1..80)
}

/// The events of a step that a real run would have written.
fn events(history: &[Truth], polls: &[(u64, u64, f64)], driven: bool) -> Vec<Event> {
    events_until(end(history, polls), history, polls, driven)
}

/// When the step ends: after the last transaction and the last poll.
fn end(history: &[Truth], polls: &[(u64, u64, f64)]) -> Mono {
    let polled: u64 = polls.iter().map(|(rest, length, _)| rest + length).sum();
    Mono(polled.max(history.last().map_or(0, |truth| truth.released) + 30 * MS))
}

/// The same with the step's end given.
fn events_until(
    at: Mono,
    history: &[Truth],
    polls: &[(u64, u64, f64)],
    driven: bool,
) -> Vec<Event> {
    let mut events = vec![
        Event::ReplayStarted {
            replay: 1,
            repeat: 1,
            at: Mono(0),
        },
        Event::StepStarted {
            step: 0,
            at: Mono(0),
        },
    ];
    if !driven {
        events.push(Event::CommandStarted {
            argv: vec!["psql".to_owned()],
            at: Mono(0),
            network: None,
        });
    }
    for (index, truth) in history.iter().enumerate().filter(|_| driven) {
        let last = truth.statements.len() - 1;
        for (number, (sent, done)) in truth.statements.iter().enumerate() {
            events.push(Event::StatementSent {
                index: index * 10 + number,
                pid: PID,
                at: Mono(*sent),
                sql: Some(format!("ALTER TABLE t {number}")),
                vacuum: false,
                lock_timeout: None,
            });
            events.push(Event::StatementDone {
                pid: PID,
                at: Mono(*done),
                rows: 0,
                in_transaction: number != last,
                error: None,
            });
        }
    }
    let (mut now, mut before, mut shown): (u64, Option<Poll>, Vec<LockRow>) = (0, None, vec![]);
    for (rest, length, place) in polls {
        let poll = Poll {
            sent: Mono(now + rest),
            received: Mono(now + rest + length),
        };
        now = poll.received.0;
        let snapshot = poll.sent.0 + (*length as f64 * place) as u64;
        let rows: Vec<LockRow> = history
            .iter()
            .enumerate()
            .filter(|(_, truth)| truth.granted <= snapshot && snapshot < truth.released)
            .map(|(index, _)| LockRow {
                pid: PID,
                vxid: (3, 100 + index as u32),
                // One table each, so that a hold tells which truth it is of.
                relation: TABLE + index as u32,
                mode: LockMode::AccessExclusiveLock,
                claim: Claim::Granted,
            })
            .collect();
        if let Some(last) = before {
            events.push(Event::Gap {
                from: last.sent,
                to: poll.received,
            });
        }
        if rows != shown {
            events.push(Event::Locks {
                before,
                poll,
                taken: rows
                    .iter()
                    .filter(|r| !shown.contains(r))
                    .copied()
                    .collect(),
                gone: shown
                    .iter()
                    .filter(|r| !rows.contains(r))
                    .copied()
                    .collect(),
            });
            shown = rows;
        }
        events.push(Event::Samples {
            count: 1,
            longest_gap: Duration::ZERO,
            last: poll,
        });
        before = Some(poll);
    }
    if !driven {
        events.push(Event::CommandExited {
            at,
            status: Some(0),
            output: Vec::new(),
        });
    }
    events.push(Event::StepFinished {
        step: 0,
        at,
        attempts: 1,
        neighbours: 0,
        outcome: Outcome::Done,
    });
    events.push(Event::Relations {
        step: 0,
        relations: (0..history.len())
            .map(|index| Relation {
                oid: TABLE + index as u32,
                name: index.to_string(),
                kind: 'r',
                parent: None,
                origin: Origin::Existing,
            })
            .collect(),
    });
    events
}

fn header() -> Header {
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
        steps: vec![StepHeader {
            lock_timeout_ns: None,
            name: "step".to_owned(),
            kind: StepKind::Sql,
            budgets: Vec::new(),
            impact: Default::default(),
            wrap: Some(Wrap::AsWritten),
            by_key: None,
            may_do_nothing: false,
        }],
        traffic: None,
        disturbances: Vec::new(),
        interval: Duration::from_millis(2),
        cadence: Cadence::Fixed,
        gap_floor: Duration::ZERO,
        replays: 1,
        repeat: 1,
        jobs: 1,
        literals: Literals::Hidden,
        notes: Vec::new(),
    }
}

fn analyse(events: Vec<Event>) -> (StepFacts, Verdict) {
    let mut analyst = Analyst::new(header());
    for event in events {
        analyst.push(event);
    }
    let timeline = analyst.finish();
    let verdict = judge(&timeline, &Policy::default()).verdict;
    (timeline.replays[0].steps[0].clone(), verdict)
}

/// A program's step of 200 ms in which a session held the table as `holds` says: transaction number,
/// from, to, what it ran.
fn program(
    stage: StageKind,
    backend_type: &str,
    application: &str,
    holds: &[(u32, u64, u64, &str)],
) -> (StepFacts, Verdict) {
    let poll = |at: u64| Poll {
        sent: Mono(at * MS),
        received: Mono(at * MS + 1),
    };
    let snapshot = SnapshotFacts {
        name: "empty".to_owned(),
        digest: None,
        taken_at: None,
        tables: Vec::new(),
        ..Default::default()
    };
    let mut events = vec![
        Event::Stage {
            kind: stage,
            image: None,
            server_version: "15".to_owned(),
            settings: std::collections::BTreeMap::new(),
            role: None,
            warmth: None,
            snapshot,
            cloned: None,
            network: None,
            notes: Vec::new(),
        },
        Event::ReplayStarted {
            replay: 1,
            repeat: 1,
            at: Mono(0),
        },
        Event::Samples {
            count: 1,
            longest_gap: Duration::ZERO,
            last: poll(0),
        },
        Event::StepStarted {
            step: 0,
            at: Mono(1),
        },
        Event::CommandStarted {
            argv: vec!["flyway".to_owned()],
            at: Mono(1),
            network: None,
        },
    ];
    let mut held = Vec::new();
    for now in 1..=200 {
        let rows: Vec<LockRow> = holds
            .iter()
            .filter(|(_, from, to, _)| (*from..*to).contains(&now))
            .map(|(number, ..)| LockRow {
                pid: PID,
                vxid: (3, *number),
                relation: TABLE,
                mode: LockMode::AccessExclusiveLock,
                claim: Claim::Granted,
            })
            .collect();
        let not_in = |rows: &[LockRow], others: &[LockRow]| -> Vec<LockRow> {
            let mut rows = rows.to_vec();
            rows.retain(|row| !others.contains(row));
            rows
        };
        if rows != held {
            events.push(Event::Locks {
                before: Some(poll(now - 1)),
                poll: poll(now),
                taken: not_in(&rows, &held),
                gone: not_in(&held, &rows),
            });
            held = rows;
        }
        if let Some((.., query)) = holds.iter().find(|(_, from, ..)| *from == now) {
            events.push(Event::Backend {
                at: Mono(now * MS + 2),
                backend: Backend {
                    pid: PID,
                    backend_type: backend_type.to_owned(),
                    application: application.to_owned(),
                    leader: None,
                    query: (*query).to_owned(),
                    ours: None,
                },
            });
        }
    }
    events.extend([
        Event::Samples {
            count: 200,
            longest_gap: Duration::from_millis(1),
            last: poll(200),
        },
        Event::CommandExited {
            at: Mono(200 * MS),
            status: Some(0),
            output: Vec::new(),
        },
        Event::StepFinished {
            step: 0,
            at: Mono(200 * MS),
            attempts: 1,
            neighbours: 0,
            outcome: Outcome::Done,
        },
        Event::Relations {
            step: 0,
            relations: vec![Relation {
                oid: TABLE,
                name: "t".to_owned(),
                kind: 'r',
                parent: None,
                origin: Origin::Existing,
            }],
        },
    ]);
    analyse(events)
}

/// A program may not take over PGAPPNAME: on a server with strangers its holds prove nothing, but
/// they are not nobody's.
#[test]
fn a_session_of_unknown_name_beside_a_program_is_no_proof() {
    let held = |stage, kind, application| {
        program(stage, kind, application, &[(1, 20, 180, "LOCK TABLE t")]).1
    };
    use StageKind::{External, Local};
    let jdbc = "PostgreSQL JDBC Driver";
    assert_eq!(held(External, "client backend", jdbc), Verdict::Unproven);
    assert_eq!(held(External, "", ""), Verdict::Unproven);
    assert_eq!(held(Local, "client backend", jdbc), Verdict::Exceeded);
    assert_eq!(held(External, "autovacuum worker", ""), Verdict::Within);
}

/// Transactions that follow each other are not one because the session once ran VACUUM.
#[test]
fn a_vacuum_before_them_does_not_join_transactions() {
    let holds = [
        (1, 20, 50, "VACUUM FULL t;"),
        (2, 50, 90, "ALTER TABLE t ADD a int;"),
        (3, 90, 130, "ALTER TABLE t ADD b int;"),
    ];
    let (facts, verdict) = program(StageKind::Local, "client backend", "psql", &holds);
    assert_eq!((facts.holds.len(), verdict), (3, Verdict::Within));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Each hold that was seen is one true hold and contains it.
    #[test]
    fn bounds_contain_the_truth(history in history(), polls in polls(), driven: bool) {
        let (facts, _) = analyse(events(&history, &polls, driven));
        prop_assert!(facts.holds.len() <= history.len());
        for hold in &facts.holds {
            let index: usize = hold.relation.parse().expect("an index");
            let truth = Duration::from_nanos(history[index].released - history[index].granted);
            let most = hold.hold.at_most().unwrap_or(Duration::MAX);
            prop_assert!(truth >= hold.hold.at_least() && truth <= most, "{truth:?} in {hold:?}");
        }
    }

    /// The verdict is never wrong: not within for a hold over the budget, seen or unseen, and not
    /// exceeded where all are below it.
    #[test]
    fn verdicts_are_never_wrong(history in history(), polls in polls(), driven: bool) {
        let longest = history.iter().map(|truth| truth.released - truth.granted).max();
        let truly_over = longest.is_some_and(|nanos| nanos > 50 * MS);
        match analyse(events(&history, &polls, driven)).1 {
            Verdict::Within => prop_assert!(!truly_over),
            Verdict::Exceeded => prop_assert!(truly_over),
            _ => {}
        }
    }

    /// With fewer polls no bound gets closer to the other one, and no unseen hold shorter.
    #[test]
    fn fewer_polls_never_narrow(truth in history().prop_map(|mut h| { h.truncate(1); h }),
                                polls in polls(), driven: bool, keep in prop::collection::vec(any::<bool>(), 80)) {
        // A dropped poll is time that passes: it lengthens the rest before the next one.
        let mut fewer: Vec<(u64, u64, f64)> = Vec::new();
        let mut passed = 0;
        for (poll, keep) in polls.iter().zip(keep) {
            if keep {
                fewer.push((poll.0 + passed, poll.1, poll.2));
                passed = 0;
            } else {
                passed += poll.0 + poll.1;
            }
        }
        let (many, _) = analyse(events(&truth, &polls, driven));
        let (few, _) = analyse(events_until(end(&truth, &polls), &truth, &fewer, driven));
        prop_assert!(few.blind >= many.blind);
        if let (Some(narrow), Some(wide)) = (many.holds.first(), few.holds.first()) {
            prop_assert!(wide.hold.at_least() <= narrow.hold.at_least());
            prop_assert!(
                wide.hold.at_most().unwrap_or(Duration::MAX)
                    >= narrow.hold.at_most().unwrap_or(Duration::MAX)
            );
        }
    }

    /// A looser budget never turns within into anything else, nor adds a finding.
    #[test]
    fn a_looser_budget_adds_no_finding(history in history(), polls in polls(), tight in 1..60u64, more in 1..60u64) {
        let (facts, _) = analyse(events(&history, &polls, true));
        for hold in &facts.holds {
            let against = |ms: u64| hold.hold.against(Duration::from_millis(ms));
            if against(tight) == Proof::Within {
                prop_assert_eq!(against(tight + more), Proof::Within);
            }
            if against(tight + more) == Proof::Exceeded {
                prop_assert_eq!(against(tight), Proof::Exceeded);
            }
        }
    }
}
