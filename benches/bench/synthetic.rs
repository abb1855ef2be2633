//! Events as a sampler and a replay of an hour tell them, without the hour.

use std::time::Duration;

use lockproof::clock::Mono;
use lockproof::pg::LockMode;
use lockproof::plan::{Cadence, Literals, Policy, ScenarioId, StepKind, Wrap};
use lockproof::recording::format::{
    Backend, Claim, Event, Header, LockRow, Origin, Outcome, Poll, Quantiles, Relation,
    SnapshotFacts, StepHeader, VERSION,
};
use lockproof::stage::StageKind;

const MILLI: u64 = 1_000_000;
const TABLE: u32 = 16_384;

/// What happens while it is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Nothing.
    Idle,
    /// A program whose lock comes and goes every so many samples.
    Program(u64),
    /// A file of statements whose lock comes and goes every so many samples, each its own transaction.
    Statements(u64),
    /// A backfill of so many batches.
    Batches(u64),
    /// So many ALTER TABLE of as many tables in one transaction.
    Tables(u64),
}

/// The head of such a recording.
pub fn header(course: Course) -> Header {
    Header {
        lockproof_recording: VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        run_id: "00000000be9c".to_owned(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        scenario: ScenarioId {
            name: "bench".to_owned(),
            digest: "00".to_owned(),
        },
        policy: Policy::default(),
        steps: vec![StepHeader {
            lock_timeout_ns: None,
            name: "hour".to_owned(),
            impact: Default::default(),
            kind: match course {
                Course::Program(_) => StepKind::Command,
                Course::Batches(_) => StepKind::Batch,
                _ => StepKind::Sql,
            },
            budgets: Vec::new(),
            wrap: Some(Wrap::Autocommit),
            by_key: None,
            may_do_nothing: false,
        }],
        traffic: None,
        disturbances: Vec::new(),
        interval: Duration::from_millis(1),
        cadence: Cadence::Fixed,
        gap_floor: Duration::from_millis(10),
        replays: 1,
        repeat: 1,
        jobs: 1,
        literals: Literals::Hidden,
        notes: Vec::new(),
    }
}

/// Tells all events of so many samples, one a millisecond, in their order.
pub fn tell(course: Course, samples: u64, mut tell: impl FnMut(Event)) {
    let poll = |sample: u64| Poll {
        sent: Mono(sample * MILLI),
        received: Mono(sample * MILLI + MILLI / 10),
    };
    let end = samples * MILLI;
    let statement = |index, at, sql: Option<&str>| Event::StatementSent {
        index,
        pid: 100,
        at: Mono(at),
        sql: sql.map(str::to_owned),
        vacuum: false,
        lock_timeout: None,
    };
    let done = |at, in_transaction| Event::StatementDone {
        pid: 100,
        at: Mono(at),
        rows: 1,
        in_transaction,
        error: None,
    };
    tell(Event::Stage {
        kind: StageKind::Local,
        image: None,
        server_version: "17.0".to_owned(),
        settings: Default::default(),
        role: None,
        warmth: None,
        snapshot: SnapshotFacts {
            name: "bench".to_owned(),
            digest: None,
            taken_at: None,
            tables: Vec::new(),
            ..Default::default()
        },
        cloned: None,
        notes: Vec::new(),
        network: None,
    });
    tell(Event::ReplayStarted {
        replay: 1,
        repeat: 1,
        at: Mono(0),
    });
    tell(Event::StepStarted {
        step: 0,
        at: Mono(MILLI),
    });
    if let Course::Program(_) = course {
        tell(Event::CommandStarted {
            argv: vec!["program".to_owned()],
            at: Mono(MILLI),
            network: None,
        });
    } else {
        tell(Event::SessionOpened { pid: 100 });
    }
    if let Course::Tables(_) = course {
        tell(statement(0, 2 * MILLI, Some("BEGIN")));
        tell(done(2 * MILLI + 1, true));
    }
    let mut row = LockRow {
        pid: 100,
        vxid: (3, 0),
        relation: TABLE,
        mode: LockMode::AccessExclusiveLock,
        claim: Claim::Granted,
    };
    let text =
        |n: u64| format!("ALTER TABLE listings_listing_{n} ADD COLUMN category_v2 varchar(?)");
    let mut all = Vec::new();
    for sample in 3..samples {
        let (now, before) = (poll(sample), Some(poll(sample - 1)));
        let every = |period: u64| sample % period;
        match course {
            Course::Program(period) if every(period) == 0 => {
                row.vxid.1 += 1;
                tell(Event::Locks {
                    before,
                    poll: now,
                    taken: vec![row],
                    gone: Vec::new(),
                });
                if sample == period {
                    tell(Event::Backend {
                        at: now.received,
                        backend: Backend {
                            pid: 100,
                            backend_type: "client backend".to_owned(),
                            application: "django".to_owned(),
                            leader: None,
                            query: text(0),
                            ours: None,
                        },
                    });
                }
            }
            Course::Program(period) if every(period) == period / 2 && sample > period => {
                tell(Event::Locks {
                    before,
                    poll: now,
                    taken: Vec::new(),
                    gone: vec![row],
                });
            }
            Course::Statements(period) if every(period) == 0 => {
                row.vxid.1 += 1;
                let index = usize::try_from(sample / period).unwrap_or(0);
                tell(statement(index, now.sent.0 - MILLI / 2, Some(&text(0))));
                tell(Event::Locks {
                    before,
                    poll: now,
                    taken: vec![row],
                    gone: Vec::new(),
                });
            }
            Course::Statements(period) if every(period) == period / 2 && sample > period => {
                tell(done(now.sent.0 - MILLI / 2, false));
                tell(Event::Locks {
                    before,
                    poll: now,
                    taken: Vec::new(),
                    gone: vec![row],
                });
            }
            Course::Batches(count) if every(samples / count) == 0 => {
                let number = sample / (samples / count);
                tell(statement(
                    0,
                    now.sent.0,
                    (number == 1).then_some(text(0).as_str()),
                ));
                tell(done(now.sent.0 + 50 * MILLI, false));
                tell(Event::Batch {
                    number,
                    rows: 5_000,
                });
            }
            Course::Tables(count) if every(samples / count) == 0 => {
                let number = sample / (samples / count);
                let index = usize::try_from(number).unwrap_or(0);
                row.relation = TABLE + u32::try_from(number).unwrap_or(0);
                row.vxid.1 = 1;
                all.push(row);
                tell(statement(
                    index,
                    now.sent.0 - MILLI / 2,
                    Some(&text(number)),
                ));
                tell(done(now.sent.0 - MILLI / 4, true));
                tell(Event::Locks {
                    before,
                    poll: now,
                    taken: vec![row],
                    gone: Vec::new(),
                });
            }
            _ => {}
        }
        if sample % 1_000 == 0 {
            tell(Event::Samples {
                count: 1_000,
                longest_gap: Duration::from_micros(1_300),
                last: now,
            });
            // A noisy machine: now and then a gap.
            if sample % 10_000 == 0 {
                tell(Event::Gap {
                    from: now.sent,
                    to: Mono(now.sent.0 + 15 * MILLI),
                });
            }
        }
    }
    match course {
        Course::Program(_) => {
            tell(Event::CommandExited {
                at: Mono(end),
                status: Some(0),
                output: Vec::new(),
            });
        }
        Course::Tables(count) => {
            tell(statement(
                usize::try_from(count).unwrap_or(0) + 1,
                end,
                Some("COMMIT"),
            ));
            tell(done(end + MILLI, false));
        }
        _ => {}
    }
    tell(Event::Locks {
        before: Some(poll(samples)),
        poll: poll(samples + 3),
        taken: Vec::new(),
        gone: if all.is_empty() {
            vec![row]
        } else {
            all.clone()
        },
    });
    tell(Event::Samples {
        count: 2,
        longest_gap: Duration::from_micros(1_300),
        last: poll(samples + 4),
    });
    tell(Event::StepFinished {
        step: 0,
        at: Mono(end + 2 * MILLI),
        attempts: 1,
        neighbours: 0,
        outcome: Outcome::Done,
    });
    let named = if all.is_empty() { vec![row] } else { all };
    tell(Event::Relations {
        step: 0,
        relations: named
            .iter()
            .map(|row| Relation {
                oid: row.relation,
                name: format!("listings_listing_{}", row.relation),
                kind: 'r',
                parent: None,
                origin: Origin::Existing,
            })
            .collect(),
    });
    tell(Event::Traces {
        step: 0,
        traces: Vec::new(),
    });
    tell(Event::Sampling {
        samples,
        dropped: 0,
        gap: Quantiles::default(),
        round_trip: Quantiles::default(),
        error: None,
    });
    tell(Event::RunFinished {
        finished_at: jiff::Timestamp::UNIX_EPOCH,
    });
}
