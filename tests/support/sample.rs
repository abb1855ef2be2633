//! Reports that have everything: those of stored recordings, and filled by hand where no recording has it yet.

use std::collections::BTreeMap;
use std::time::Duration;

use lockproof::analyse::Analyst;
use lockproof::judge::{self, Verdict};
use lockproof::pg::LockMode;
use lockproof::plan::{Arrivals, Begins, Front, Increase, Level, Load};
use lockproof::recording::read::Reader;
use lockproof::recording::traffic::Ending;
use lockproof::report::Report;
use lockproof::report::build;
use lockproof::report::model::impact::{
    Disturbance, Exclusion, Impact, Latency, Operation, OperationTraffic, Queue, Slice,
    SliceTraffic, Stander, Traffic, Victim, Wait,
};
use lockproof::report::model::{Blocked, Budget, Finding, Hold, Quantiles, Span};

/// The report of a stored recording.
pub fn recorded(name: &str) -> Report {
    let file = format!(
        "{}/tests/recordings/{name}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read(&file).expect("a recording");
    let mut reader = Reader::new(text.as_slice(), name).expect("a header");
    let policy = reader.header().policy.clone();
    let mut analyst = Analyst::new(reader.header().clone());
    for event in reader.by_ref() {
        analyst.push(event.expect("an event"));
    }
    let timeline = analyst.finish();
    let judgement = judge::judge(&timeline, &policy);
    build::build(&timeline, &judgement, &policy)
}

fn span(at_least: f64, at_most: f64) -> Span {
    Span {
        at_least,
        at_most: Some(at_most),
    }
}

fn stander(pid: i32, who: &str, query: &str) -> Stander {
    Stander {
        pid,
        who: who.to_owned(),
        query: query.to_owned(),
    }
}

/// A report of traffic, a queue and disturbances: the migration of `published`, whose third step has to wait behind
/// an idle transaction, and everybody behind it.
pub fn everything() -> Report {
    let mut report = recorded("published");
    let step = report.steps.get_mut(2).expect("set-not-null");
    let started = step.started_ms.expect("it was reached");
    let (asked, granted) = (started + 8.0, started + 1_452.0);
    let hold = step.holds.first_mut().expect("a hold");
    let held = hold.hold_ms.at_least;
    hold.asked_at_ms = Some(span(asked, asked + 2.0));
    hold.wait_ms = span(1_442.0, 1_446.5);
    hold.granted_at_ms = span(granted, granted + 2.5);
    hold.released_at_ms = span(granted + held + 2.5, granted + held + 4.0);
    let ended = granted + held + 4.0;
    let blocked = |pid: i32, waited: f64| Blocked {
        pid,
        query: "SELECT title, price FROM listings_listing WHERE id = ?".to_owned(),
        waited_ms: span(waited, waited + 4.0),
        behind: "ALTER TABLE listings_listing ALTER COLUMN category_v2 SET NOT NULL".to_owned(),
    };
    step.blocked = (0..9_u8)
        .map(|n| blocked(400 + i32::from(n), 1_400.0 - 90.0 * f64::from(n)))
        .collect();
    let idle = stander(
        311,
        "idle in transaction",
        "UPDATE listings_listing SET price = ? WHERE id = ?",
    );
    let alter = stander(
        77,
        "the migration",
        "ALTER TABLE listings_listing ALTER COLUMN category_v2 SET NOT NULL",
    );
    step.queue = Some(Queue {
        waits: vec![Wait {
            relation: Some("listings_listing".to_owned()),
            mode: LockMode::AccessExclusiveLock,
            pid: 77,
            asked_ms: span(asked, asked + 2.0),
            waited_ms: span(1_442.0, 1_446.5),
            granted: true,
            statement: alter.query.clone(),
            behind: vec![idle.clone()],
        }],
        exclusions: vec![Exclusion {
            relation: "listings_listing".to_owned(),
            pid: 77,
            asked_ms: span(asked, asked + 2.0),
            lasted_ms: span(1_532.0, 1_540.0),
            granted: true,
            blocked: 9,
        }],
        exclusion_ms: Some(span(1_532.0, 1_540.0)),
        deepest: 9,
        depth: (0..=9)
            .map(|n| (asked + 40.0 + 90.0 * n as f64, n))
            .chain([(ended, 4), (ended + 3.0, 0)])
            .collect(),
        victim: Some(Victim {
            session: stander(
                400,
                "traffic: read listing",
                "SELECT title, price FROM listings_listing WHERE id = ?",
            ),
            waited_ms: span(1_400.0, 1_404.0),
            chain: vec![alter, idle],
        }),
        longest_ms: Some(span(1_400.0, 1_404.0)),
        blocked: 9,
        surely_blocked: 9,
        downtime_ms: Some(span(1_528.0, 1_541.0)),
        lock_timeouts: Vec::new(),
        rested_ms: 0.0,
        unseen_ms_max: 3.5,
    });
    for statement in &mut step.statements {
        if statement.sql.starts_with("ALTER") {
            statement.elapsed_ms = statement.elapsed_ms.map(|took| took + 1_440.0);
        } else if statement.started_ms > 50.0 {
            statement.started_ms += 1_440.0;
        }
    }
    step.elapsed_ms = Some(ended - started + 6.0);
    step.impact.exclusion_ms = Some(500.0);
    let shift = ended - started;
    let last = report.steps.get_mut(3).expect("set-default");
    last.started_ms = last.started_ms.map(|at| at + shift);
    for hold in &mut last.holds {
        for moment in [&mut hold.granted_at_ms, &mut hold.released_at_ms] {
            *moment = span(
                moment.at_least + shift,
                moment.at_most.expect("bounded") + shift,
            );
        }
    }
    report.policy.impact = Impact {
        exclusion_ms: Some(500.0),
        blocked_requests: None,
        victim_wait_ms: Some(500.0),
        p99_increase: Some(Increase::By(Duration::from_millis(100))),
        timeouts: Some(0),
    };
    report.findings.push(Finding {
        rule: "exclusion-exceeded".to_owned(),
        level: Level::Fail,
        step: "set-not-null".to_owned(),
        relation: Some("listings_listing".to_owned()),
        mode: Some(LockMode::AccessExclusiveLock),
        message: "`listings_listing` was shut to everybody for 1.53–1.54 s, from asked for to released, over the \
                  budget of 500 ms"
            .to_owned(),
        advice: Some("set `lock_timeout` and retry: whoever waits for the lock makes all others wait".to_owned()),
    });
    report.disturbances = vec![
        Disturbance {
            name: "forgotten psql".to_owned(),
            kind: "idle-transaction".to_owned(),
            begins: Begins::With(2),
            began_ms: Some(started - 120.0),
            ended_ms: Some(granted),
            error: None,
        },
        Disturbance {
            name: "nightly dump".to_owned(),
            kind: "pg-dump".to_owned(),
            begins: Begins::After(Duration::from_secs(2)),
            began_ms: Some(2_010.0),
            ended_ms: None,
            error: None,
        },
        Disturbance {
            name: "never there".to_owned(),
            kind: "writer".to_owned(),
            begins: Begins::With(9),
            began_ms: None,
            ended_ms: None,
            error: Some("relation \"gone\" does not exist".to_owned()),
        },
    ];
    traffic(&mut report, (asked, ended), 15_000.0);
    report
}

/// Made-up traffic that stands still in this stretch of time.
fn traffic(report: &mut Report, still: (f64, f64), until: f64) {
    let names = ["read listing", "search", "write price"];
    let usual = [(0.8, 2.6), (6.2, 14.0), (1.9, 5.5)];
    // Numbers that look like chance and are always the same.
    let mut state = 7_u64;
    let mut wobble = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        0.8 + 0.4 * ((state >> 40) as f64 / (1_u64 << 24) as f64)
    };
    let mut slices = Vec::new();
    let mut from = -3_000.0;
    while from < until {
        let to = from + 100.0;
        let stands = to > still.0 && from < still.1;
        let operations = usual.map(|(p50, p99)| {
            let (p50, p99) = (p50 * wobble(), p99 * wobble());
            let waits = if stands { still.1 - from } else { 0.0 };
            Some(SliceTraffic {
                requests: 20,
                lost: if stands && waits < 900.0 { 5 } else { 0 },
                p50_ms: p50 + waits * 0.9,
                p99_ms: p99 + waits,
            })
        });
        slices.push(Slice {
            from_ms: from,
            to_ms: to,
            operations: operations.into(),
        });
        from = to;
    }
    let row = |operation: usize, requests: u64, times: f64, lost: u64| {
        let (p50, p99) = usual[operation];
        let latency = Latency {
            p50: p50 * times.min(40.0),
            p99: p99 * times,
            p999: p99 * times * 1.4,
            max: p99 * times * 1.6,
        };
        let mut endings = BTreeMap::from([(Ending::Ok, requests - lost)]);
        if lost > 0 {
            endings.insert(Ending::TimedOut, lost - lost / 3);
            endings.insert(Ending::Failed, lost / 3);
        }
        OperationTraffic {
            operation: names[operation].to_owned(),
            requests,
            endings,
            failures: if lost > 0 {
                BTreeMap::from([("40P01".to_owned(), lost / 3)])
            } else {
                BTreeMap::new()
            },
            latency_ms: Some(latency),
            change_ms: (times != 1.0).then_some(Latency {
                p50: latency.p50 - p50,
                p99: latency.p99 - p99,
                p999: latency.p999 - p99 * 1.4,
                max: latency.max - p99 * 1.6,
            }),
        }
    };
    let window =
        |times: f64, lost: u64| (0..3).map(|n| row(n, 600, times, lost)).collect::<Vec<_>>();
    for (step, (times, lost)) in
        report
            .steps
            .iter_mut()
            .zip([(1.1, 0), (1.6, 0), (110.0, 45), (0.95, 0)])
    {
        step.traffic = window(times, lost);
    }
    report.traffic = Some(Traffic {
        operations: names
            .iter()
            .map(|name| Operation {
                name: (*name).to_owned(),
                weight: 1.0,
            })
            .collect(),
        load: Load::Open {
            rate: 600.0,
            arrivals: Arrivals::Poisson,
        },
        front: Front::default(),
        seed: 7,
        baseline: window(1.0, 0),
        settle: window(1.05, 0),
        slices,
        due: Some(10_800),
        begun: Some(10_799),
        rate: Some(599.8),
        lateness_ms: Some(Quantiles {
            p50: 0.05,
            p99: 0.4,
            max: 2.2,
        }),
        cpus: Some(0.21),
    });
}

/// As large as a report gets: fifty steps, a thousand holds in each, slices of a minute and more.
pub fn large() -> Report {
    let mut report = everything();
    let pattern = report.steps[2].clone();
    let hold = pattern.holds[0].clone();
    let started = pattern.started_ms.expect("it was reached");
    report.steps = (0..50_u32)
        .map(|step| {
            let mut made = pattern.clone();
            made.name = format!("{step:02} partition by partition");
            let at = started + f64::from(step) * 2_000.0;
            made.started_ms = Some(at);
            let queue = made.queue.as_mut().expect("a queue");
            let shift = at - started;
            for (moment, _) in &mut queue.depth {
                *moment += shift;
            }
            for wait in &mut queue.waits {
                wait.asked_ms = span(
                    wait.asked_ms.at_least + shift,
                    wait.asked_ms.at_least + shift + 2.0,
                );
            }
            for exclusion in &mut queue.exclusions {
                exclusion.asked_ms = span(started + shift + 8.0, started + shift + 10.0);
            }
            made.verdict = if step % 7 == 0 {
                Verdict::Exceeded
            } else {
                Verdict::Within
            };
            made.budgets = vec![Budget {
                mode: LockMode::AccessExclusiveLock,
                counts: "hold".to_owned(),
                limit_ms: 70.0,
                level: Level::Fail,
                reason: Some("agreed with its users".to_owned()),
            }];
            made.holds = (0..1_000_u32)
                .map(|n| Hold {
                    relation: format!("listings_listing_p{:04}", n % 250),
                    granted_at_ms: span(at + f64::from(n) * 1.5, at + f64::from(n) * 1.5 + 0.5),
                    released_at_ms: span(
                        at + f64::from(n) * 1.5 + 2.0,
                        at + f64::from(n) * 1.5 + 2.5,
                    ),
                    asked_at_ms: None,
                    hold_ms: span(1.5, 2.5),
                    ..hold.clone()
                })
                .collect();
            made
        })
        .collect();
    let slices = &mut report.traffic.as_mut().expect("traffic").slices;
    let more: Vec<Slice> = (slices.len()..1_100)
        .map(|n| Slice {
            from_ms: -3_000.0 + n as f64 * 100.0,
            to_ms: -2_900.0 + n as f64 * 100.0,
            ..slices[n % 100].clone()
        })
        .collect();
    slices.extend(more);
    report
}

/// The same report with this text wherever a user's text may be.
pub fn with_text(mut report: Report, text: &str) -> Report {
    let text = || text.to_owned();
    report.scenario.name = text();
    report.limits.push(text());
    if let Some(snapshot) = &mut report.snapshot {
        snapshot.name = text();
    }
    if let Some(stage) = &mut report.stage {
        stage.image = Some(text());
        stage.role = Some(text());
        stage.settings.insert(text(), text());
    }
    for finding in &mut report.findings {
        finding.message = text();
        finding.advice = Some(text());
        finding.step = text();
    }
    for disturbance in &mut report.disturbances {
        disturbance.name = text();
        disturbance.kind = text();
        disturbance.error = Some(text());
    }
    for operation in report
        .traffic
        .iter_mut()
        .flat_map(|traffic| &mut traffic.operations)
    {
        operation.name = text();
    }
    for step in &mut report.steps {
        step.name = text();
        for budget in &mut step.budgets {
            budget.reason = Some(text());
        }
        for hold in &mut step.holds {
            hold.relation = text();
            hold.parent = Some(text());
            hold.granted_by = Some(text());
            hold.lengthened_by = vec![text(), text()];
        }
        for statement in &mut step.statements {
            statement.sql = text();
            statement.error = Some(text());
        }
        for blocked in &mut step.blocked {
            blocked.query = text();
            blocked.behind = text();
        }
        for traffic in &mut step.traffic {
            traffic.operation = text();
        }
        step.evidence.rewritten.push(text());
        let Some(queue) = &mut step.queue else {
            continue;
        };
        for wait in &mut queue.waits {
            wait.relation = Some(text());
            wait.statement = text();
        }
        for stander in queue.victim.iter_mut().flat_map(|victim| &mut victim.chain) {
            stander.who = text();
            stander.query = text();
        }
    }
    report
}
