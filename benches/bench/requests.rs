//! Traffic of lockproof's, as a run has it, and what it told.

use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use lockproof::clock::Clock;
use lockproof::plan::traffic::{Expression, Function, Instruction, Operation};
use lockproof::plan::{Front, Load, Traffic};
use lockproof::recording::format::Event;
use lockproof::recording::traffic::{Request, TrafficSummary};
use lockproof::traffic::{Generator, Setup};

use crate::Outcome;
use crate::ground::Ground;

/// Accounts that `pgbench -i -s 10` makes.
const ACCOUNTS: i64 = 1_000_000;
/// The same for pgbench itself.
pub const SCRIPT: &str = "\\set aid random(1, 1000000)\n\
                          SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n";

/// What traffic told.
#[derive(Default)]
pub struct Told {
    /// Latencies in microseconds, and how many.
    pub latencies: Vec<(u64, u64)>,
    /// The slowest of each window.
    pub slowest: Vec<Request>,
    /// At its end.
    pub summary: Option<TrafficSummary>,
}

impl Told {
    /// All of it; waits for its end.
    pub fn of(events: Receiver<Event>) -> Self {
        let mut told = Self::default();
        for event in events {
            match event {
                Event::Requests(requests) => told.latencies.extend(requests.latencies),
                Event::Request(request) => told.slowest.push(request),
                Event::TrafficEnded { summary, .. } => told.summary = Some(summary),
                _ => {}
            }
        }
        told.latencies.sort_unstable();
        told
    }

    /// How many ended.
    pub fn ended(&self) -> u64 {
        self.latencies.iter().map(|(_, count)| count).sum()
    }

    /// In milliseconds.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let mut left = (self.ended() as f64 * quantile) as u64;
        for (micros, count) in &self.latencies {
            if *count > left {
                return *micros as f64 / 1e3;
            }
            left -= count;
        }
        f64::NAN
    }
}

/// Starts reading accounts by their keys.
pub fn start(
    ground: &Ground,
    load: Load,
    pool: u32,
    clock: Clock,
) -> Outcome<(Generator, Receiver<Event>)> {
    let (events, told) = unbounded();
    let set = Instruction::Set {
        variable: "aid".to_owned(),
        value: Expression::Call {
            function: Function::Random,
            arguments: vec![Expression::Integer(1), Expression::Integer(ACCOUNTS)],
        },
    };
    let select = Instruction::Sql {
        text: "SELECT abalance FROM pgbench_accounts WHERE aid = $1".to_owned(),
        parameters: vec!["aid".to_owned()],
        line: 1,
    };
    let generator = ground.wait(Generator::start(Setup {
        endpoint: ground.endpoint().clone(),
        traffic: Traffic {
            operations: vec![Operation {
                name: "read".to_owned(),
                weight: 1.0,
                origin: "bench".to_owned(),
                program: vec![set, select],
            }],
            load,
            front: Front {
                pool,
                ..Front::default()
            },
            baseline: Duration::ZERO,
            settle: Duration::ZERO,
            seed: 1,
        },
        clock,
        events,
    }))?;
    Ok((generator, told))
}
