//! A generator on a server of the test's own, and what it told.

use std::time::Duration;

use crossbeam_channel::Receiver;
use lockproof::clock::Clock;
use lockproof::plan::traffic::{Instruction, Operation};
use lockproof::plan::{Front, Load, Traffic};
use lockproof::recording::format::Event;
use lockproof::recording::traffic::{Ending, Request, Requests, TrafficSummary};
use lockproof::stage::{Endpoint, Host, Link};
use lockproof::traffic::{Generator, Setup};
use tokio::runtime::Runtime;

use crate::support::server::Server;

/// What a generator told.
#[derive(Debug)]
pub struct Seen {
    pub requests: Vec<Requests>,
    pub slowest: Vec<Request>,
    pub summary: TrafficSummary,
}

impl Seen {
    pub fn of(told: Receiver<Event>) -> Self {
        let (mut requests, mut slowest, mut summary) = (vec![], vec![], None);
        let mut started = false;
        for event in told {
            assert!(summary.is_none(), "after the end: {event:?}");
            match event {
                Event::TrafficStarted { .. } => started = true,
                Event::Requests(counted) => requests.push(counted),
                Event::Request(slow) => slowest.push(slow),
                Event::TrafficEnded { summary: told, .. } => summary = Some(told),
                other => panic!("{other:?}"),
            }
        }
        assert!(started, "it never began");
        slowest.sort_by_key(|slow| std::cmp::Reverse(slow.ended.since(slow.due)));
        Self {
            requests,
            slowest,
            summary: summary.expect("an end"),
        }
    }

    /// Every request that began is counted once, whatever became of it. On a busy machine the last that were due may
    /// not have had their turn.
    #[track_caller]
    pub fn is_whole(&self) {
        let (due, begun) = (self.summary.due, self.summary.begun);
        assert_eq!(self.count(|_| true), begun, "{self:?}");
        assert!((begun..=begun + begun / 5).contains(&due), "{self:?}");
    }

    /// Requests in lines that are so.
    pub fn count(&self, so: impl Fn(&Requests) -> bool) -> u64 {
        let lines = self.requests.iter().filter(|line| so(line));
        lines.flat_map(|line| line.endings.counts.values()).sum()
    }

    /// Requests that ended so.
    pub fn ended(&self, ending: Ending) -> u64 {
        let counts = self.requests.iter();
        counts
            .filter_map(|line| line.endings.counts.get(&ending))
            .sum()
    }

    /// Failures with this SQLSTATE.
    pub fn failures(&self, sqlstate: &str) -> u64 {
        let counts = self.requests.iter();
        counts
            .filter_map(|line| line.endings.failures.get(sqlstate))
            .sum()
    }

    /// Requests that took longer.
    pub fn longer(&self, than: Duration) -> u64 {
        let latencies = self.requests.iter().flat_map(|line| &line.latencies);
        latencies
            .filter(|(micros, _)| Duration::from_micros(*micros) > than)
            .map(|(_, count)| count)
            .sum()
    }

    /// The longest latency of each slice in which one is longer than that, in order.
    pub fn longest_by_slice(&self, than: Duration) -> Vec<u64> {
        let mut by_slice = std::collections::BTreeMap::<u64, u64>::new();
        for line in &self.requests {
            let longest = line.latencies.iter().map(|(micros, _)| *micros).max();
            let known = by_slice.entry(line.slice).or_default();
            *known = (*known).max(longest.unwrap_or(0));
        }
        by_slice
            .into_values()
            .filter(|micros| Duration::from_micros(*micros) > than)
            .collect()
    }
}

/// Whether a request got no connection.
pub fn got_none(request: &Request) -> bool {
    request.pid.is_none() && request.acquired.is_none() && request.ending == Ending::Refused
}

pub fn traffic(load: Load, operations: Vec<Operation>) -> Traffic {
    Traffic {
        operations,
        load,
        front: Front::default(),
        baseline: Duration::ZERO,
        settle: Duration::ZERO,
        seed: 42,
    }
}

pub fn operation(name: &str, program: Vec<Instruction>) -> Operation {
    Operation {
        name: name.to_owned(),
        weight: 1.0,
        origin: "traffic.toml".to_owned(),
        program,
    }
}

pub fn script(text: &str, parameters: &[&str]) -> Instruction {
    Instruction::Sql {
        text: text.to_owned(),
        parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
        line: 7,
    }
}

/// A generator under way in the database `app`.
pub fn generator(
    server: &Server,
    user: &str,
    traffic: &Traffic,
) -> lockproof::Result<(Runtime, Generator, Receiver<Event>)> {
    let (events, told) = crossbeam_channel::unbounded();
    let endpoint = Endpoint {
        host: Host::Tcp("127.0.0.1".to_owned()),
        port: server.port(),
        user: user.to_owned(),
        password: None,
        database: "app".to_owned(),
        link: Link::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let generator = runtime.block_on(Generator::start(Setup {
        endpoint,
        traffic: traffic.clone(),
        clock: Clock::start(),
        events,
    }))?;
    Ok((runtime, generator, told))
}

/// Traffic during something, which has to end it; what it told.
pub fn begin(server: &Server, traffic: &Traffic, during: impl AsyncFnOnce(Generator)) -> Seen {
    let started = generator(server, "postgres", traffic);
    let (runtime, generator, told) = started.unwrap_or_else(|error| panic!("{}", error.story()));
    runtime.block_on(during(generator));
    Seen::of(told)
}

pub async fn within_seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Somebody holds ACCESS EXCLUSIVE on `items` for so long.
pub async fn locked(server: &Server, seconds: f64) {
    let lock = format!("BEGIN; LOCK TABLE items; SELECT pg_sleep({seconds}); COMMIT");
    let mut held = server.busy(&lock);
    tokio::task::spawn_blocking(move || held.wait())
        .await
        .expect("no panic")
        .expect("it ended");
}

/// How many sessions of the traffic there are.
pub fn sessions(server: &Server) -> String {
    // One that has taken its leave is gone a moment later.
    std::thread::sleep(Duration::from_millis(200));
    server
        .psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lockproof/traffic'")
}

/// How many of them wait for a lock.
pub fn waiting(server: &Server) -> String {
    server.psql(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE application_name = 'lockproof/traffic' AND wait_event_type = 'Lock'",
    )
}
