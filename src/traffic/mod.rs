//! Live traffic beside the migration: makes requests as applications do and tells what became of them. Judges
//! nothing, and shares no thread, runtime or connection with those who measure.
//!
//! In an open loop each request's due time is fixed before the first is made, and its latency counts from there: a
//! server that stands still delays every request that was due meanwhile, and each of them is counted with its whole
//! delay. Requests are made one by one when they are due, never more to make up for a pause of the server; how late the
//! generator itself was is recorded beside. The same seed makes the same requests, whatever became of earlier ones.

mod alarm;
mod connection;
mod dice;
mod drive;
mod keys;
mod marks;
mod pool;
mod program;
mod schedule;
mod tally;
mod trial;
mod value;
mod zipf;

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};

use self::connection::Connection;
use self::drive::{Driver, Made, stopped};
use self::pool::{Phase, Pool};
use self::program::Programs;
use self::tally::Tally;
use crate::clock::{Clock, Mono, on_cpu};
use crate::plan::{Load, Traffic};
use crate::recording::format::{Event, Quantiles};
use crate::recording::traffic::TrafficSummary;
use crate::stage::Endpoint;
use crate::{Error, Result};

pub use self::marks::Marks;

/// How often what was counted is told.
const TELLING: Duration = Duration::from_secs(1);
/// A request that timed out may take so much longer to end, and its connection to be free.
const SLACK: Duration = Duration::from_millis(100);

/// What the traffic of a replay needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The server, and as whom: the migration's role where the snapshot names one.
    pub endpoint: Endpoint,
    /// What is asked, and how often.
    pub traffic: Traffic,
    /// The run's clock.
    pub clock: Clock,
    /// Where events go.
    pub events: Sender<Event>,
}

/// Traffic under way.
#[derive(Debug)]
pub struct Generator {
    marks: Arc<Marks>,
    /// How long requests that have begun may go on; None: it is not to end yet.
    stop: watch::Sender<Option<Duration>>,
    thread: JoinHandle<()>,
    setup: Setup,
    began: Mono,
}

impl Generator {
    /// Tries each operation, opens the pool and begins.
    ///
    /// # Errors
    /// The server has no room for the pool or cannot be reached, an operation cannot run, or a table that keys are
    /// drawn from is empty.
    pub async fn start(setup: Setup) -> Result<Self> {
        let marks = Arc::new(Marks::new(setup.clock));
        let (stop, stops) = watch::channel(None);
        let (ready, started) = oneshot::channel();
        let (ours, shared) = (setup.clone(), Arc::clone(&marks));
        let thread = std::thread::Builder::new()
            .name("traffic".to_owned())
            .spawn(move || thread_main(&ours, shared, stops, ready))
            .map_err(|error| Error::defect("cannot start the traffic's thread").because(error))?;
        let began = started
            .await
            .map_err(|_| Error::defect("the traffic's thread ended before it began"))??;
        Ok(Self {
            marks,
            stop,
            thread,
            setup,
            began,
        })
    }

    /// Where steps are marked.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Ends it; its last event is `traffic_ended`. No more requests are made, and those that have begun may go on as
    /// long as they may take at all.
    pub async fn stop(self) {
        let longest = self.setup.traffic.front.request_timeout;
        self.stop_within(longest.saturating_add(SLACK)).await;
    }

    /// The same at once.
    pub async fn abort(self) {
        self.stop_within(Duration::ZERO).await;
    }

    /// The same within `patience`: what is still under way then is cancelled and not counted. At once when this is
    /// dropped.
    pub async fn stop_within(self, patience: Duration) {
        // It may have ended by itself.
        let _ = self.stop.send(Some(patience));
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if matches!(joined, Ok(Ok(()))) {
            return;
        }
        let at = self.setup.clock.now();
        // What it had counted is lost with it, but for what it has told.
        let _ = self.setup.events.send(Event::TrafficEnded {
            at,
            summary: TrafficSummary {
                due: 0,
                begun: 0,
                lateness: Quantiles::default(),
                baseline_wait: Quantiles::default(),
                cpu: Duration::ZERO,
                ran: at.since(self.began),
                error: Some("the traffic's thread panicked".to_owned()),
            },
        });
    }
}

fn thread_main(
    setup: &Setup,
    marks: Arc<Marks>,
    mut stop: watch::Receiver<Option<Duration>>,
    ready: oneshot::Sender<Result<Mono>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::defect("cannot start the traffic's runtime").because(error);
            let _ = ready.send(Err(error));
            return;
        }
    };
    let opened = runtime.block_on(async {
        tokio::select! {
            opened = open(setup) => Some(opened),
            () = stopped(&mut stop) => None,
        }
    });
    match opened {
        Some(Ok(opened)) => go(setup, marks, stop, ready, &runtime, opened),
        Some(Err(error)) => drop(ready.send(Err(error))),
        // Nobody waits for it any more.
        None => {}
    }
}

/// The pool, each connection with every statement prepared.
async fn open(setup: &Setup) -> Result<(Programs, Vec<Connection>)> {
    let pool = setup.traffic.front.pool;
    let mut first = Connection::open(&setup.endpoint).await?;
    trial::room(&first, pool).await?;
    let programs = trial::programs(&mut first, &setup.traffic).await?;
    let mut connections = vec![first];
    for _ in 1..pool {
        connections.push(Connection::open(&setup.endpoint).await?);
    }
    for connection in &mut connections {
        for number in 0..programs.statements.len() {
            let prepared = connection.prepare(&programs, number).await;
            prepared.map_err(|error| {
                Error::stage("the traffic's connections cannot be prepared").because(error)
            })?;
        }
    }
    Ok((programs, connections))
}

fn go(
    setup: &Setup,
    marks: Arc<Marks>,
    mut stop: watch::Receiver<Option<Duration>>,
    ready: oneshot::Sender<Result<Mono>>,
    runtime: &Runtime,
    (programs, connections): (Programs, Vec<Connection>),
) {
    let began = setup.clock.now();
    let clients = match setup.traffic.load {
        Load::Open { .. } => 0,
        Load::Closed { clients, .. } => clients,
    };
    let pool = Rc::new(Pool::new(
        setup.endpoint.clone(),
        setup.clock,
        setup.traffic.front,
        programs,
        marks,
        Tally::new(began),
        clients,
        setup.traffic.front.pool,
    ));
    // Nobody listens only when the run has been given up.
    let _ = setup.events.send(Event::TrafficStarted { at: began });
    let _ = ready.send(Ok(began));
    let local = LocalSet::new();
    let made = local.block_on(runtime, async {
        let serving: Vec<_> = connections
            .into_iter()
            .map(|connection| spawn_local(Rc::clone(&pool).serve(connection)))
            .collect();
        spawn_local(Rc::clone(&pool).doorkeeper());
        spawn_local(tell(Rc::clone(&pool), setup.events.clone()));
        let driver = Rc::new(Driver::new(Rc::clone(&pool), setup.traffic.seed, began));
        let made = driver.run(&setup.traffic, &mut stop).await;
        pool.phase.send_replace(Phase::Draining);
        // Where the timer failed, it goes on to be told to stop.
        stopped(&mut stop).await;
        let patience = stop.borrow().unwrap_or_default();
        tokio::select! {
            () = quiet(&pool) => {}
            () = tokio::time::sleep(patience) => {}
            // Whoever waited for its end has been dropped.
            _ = stop.wait_for(|_| false) => {}
        }
        let mut trouble = pool
            .refusal()
            .map(|why| format!("at its end it had no connection: {why}"));
        pool.phase.send_replace(Phase::Over);
        for served in serving {
            if served.await.is_err() {
                trouble = Some("the task of a connection panicked".to_owned());
            }
        }
        (made, trouble)
    });
    drop(local);
    end(setup, began, &pool, made);
}

/// Waits until every request has ended.
async fn quiet(pool: &Pool) {
    while !pool.is_quiet() {
        pool.quiet.notified().await;
    }
}

/// Tells now and then what was counted; never waits for room.
async fn tell(pool: Rc<Pool>, events: Sender<Event>) {
    loop {
        tokio::time::sleep(TELLING).await;
        pool.tally.borrow_mut().tell(&events);
    }
}

fn end(
    setup: &Setup,
    began: Mono,
    pool: &Pool,
    (made, trouble): (std::io::Result<Made>, Option<String>),
) {
    pool.tally.take().finish(&setup.events);
    let at = setup.clock.now();
    let (made, error) = match made {
        Ok(made) => (Some(made), trouble),
        Err(error) => (None, Some(format!("it had no timer: {error}"))),
    };
    let made = made.as_ref();
    let _ = setup.events.send(Event::TrafficEnded {
        at,
        summary: TrafficSummary {
            due: made.map_or(0, |made| made.due),
            begun: made.map_or(0, |made| made.begun),
            lateness: made.map_or_else(Quantiles::default, |made| made.lateness.quantiles()),
            baseline_wait: pool.waits.borrow().quantiles(),
            cpu: on_cpu().unwrap_or_default(),
            ran: at.since(began),
            error,
        },
    });
}
