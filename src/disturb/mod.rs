//! Somebody in the migration's way, as the scenario declares it: begun and ended as asked for, on a thread and
//! sessions of its own, and in place before the step that it belongs to. Knows no budget and no lock of the migration.

mod advisory;
mod control;
mod dump;
mod idle;
mod reader;
mod vacuum;
mod writer;

use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use self::control::Control;
use crate::clock::Clock;
use crate::pg::names::DISTURBANCE_PREFIX;
use crate::plan::{Begins, Disturbance, DisturbanceKind};
use crate::recording::format::Event;
use crate::stage::{Beside, Endpoint};
use crate::{Error, Result};

/// What disturbances need of a replay.
#[derive(Clone)]
pub struct Ground {
    /// How to reach the server as one who may do all that they do.
    pub endpoint: Endpoint,
    /// The server's major.
    pub major: u32,
    /// Where `pg_dump` is.
    pub beside: Beside,
    /// Where events go.
    pub events: Sender<Event>,
    /// The run's clock.
    pub clock: Clock,
}

/// Those of one replay.
pub struct Disturbances<'a> {
    all: &'a [Disturbance],
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the thread is told.
enum Order {
    /// Begin this one, after so long, and say when it is in place.
    Begin {
        index: usize,
        after: Duration,
        in_place: oneshot::Sender<Result<()>>,
    },
    /// End this one, if it is there, and say when it is over.
    End {
        index: usize,
        over: oneshot::Sender<()>,
    },
}

/// A disturbance's own surroundings.
struct Place {
    ground: Ground,
    /// Of its sessions.
    application: String,
    /// Becomes true when it is to end.
    end: watch::Receiver<bool>,
    lasts: Option<Duration>,
}

/// Says that a disturbance is in place, with its server processes.
type InPlace<'a> = &'a mut (dyn FnMut(Vec<i32>) + Send);

impl<'a> Disturbances<'a> {
    /// Starts the thread; nothing begins yet.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(all: &'a [Disturbance], ground: &Ground) -> Result<Self> {
        if all.is_empty() {
            return Ok(Self {
                all,
                orders: None,
                thread: None,
            });
        }
        let (orders, incoming) = mpsc::unbounded_channel();
        let ground = ground.clone();
        let list = all.to_vec();
        let cannot = |error| Error::defect("cannot start the disturbances' thread").because(error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(cannot)?;
        let thread = std::thread::Builder::new()
            .name("disturbances".to_owned())
            .spawn(move || {
                LocalSet::new().block_on(&runtime, serve(list, ground, incoming));
            })
            .map_err(cannot)?;
        Ok(Self {
            all,
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// The replay's first step is about to begin.
    pub fn replay_begins(&self) {
        for (index, disturbance) in self.all.iter().enumerate() {
            if let Begins::After(after) = disturbance.begins {
                // Whether it came to be in place is in the recording.
                let _ = self.begin(index, after);
            }
        }
    }

    /// A step is about to begin: those that belong to it are in place when this returns.
    ///
    /// # Errors
    /// One of them cannot be set up, so the step would show nothing of what was asked.
    pub async fn step_begins(&self, step: usize) -> Result<()> {
        let those = self.all.iter().enumerate();
        for (index, disturbance) in
            those.filter(|(_, disturbance)| disturbance.begins == Begins::With(step))
        {
            let Some(in_place) = self.begin(index, Duration::ZERO) else {
                continue;
            };
            let Ok(outcome) = in_place.await else {
                return Err(Error::defect("the disturbances' thread ended early"));
            };
            outcome.map_err(|error| {
                let name = &disturbance.name;
                Error::usage(format!("the disturbance `{name}` cannot be set up"))
                    .details(error.story().lines().map(str::to_owned))
                    .help("what it would have shown is not known; mend it, or leave it out")
            })?;
        }
        Ok(())
    }

    /// A step ended: those that began with it and have no time of their own end with it.
    pub async fn step_ended(&self, step: usize) {
        for (index, disturbance) in self.all.iter().enumerate() {
            if disturbance.begins == Begins::With(step) && disturbance.lasts.is_none() {
                self.end(index).await;
            }
        }
    }

    /// Ends all that are left.
    pub async fn stop(mut self) {
        for index in 0..self.all.len() {
            self.end(index).await;
        }
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // Every task of it has ended: it has nothing left to do.
            let _ = thread.join();
        }
    }

    fn begin(&self, index: usize, after: Duration) -> Option<oneshot::Receiver<Result<()>>> {
        let (in_place, told) = oneshot::channel();
        let order = Order::Begin {
            index,
            after,
            in_place,
        };
        self.orders.as_ref()?.send(order).ok()?;
        Some(told)
    }

    async fn end(&self, index: usize) {
        let (over, told) = oneshot::channel();
        let order = Order::End { index, over };
        if self
            .orders
            .as_ref()
            .is_some_and(|orders| orders.send(order).is_ok())
        {
            let _ = told.await;
        }
    }
}

/// The thread: each disturbance is a task of its own.
async fn serve(
    all: Vec<Disturbance>,
    ground: Ground,
    mut incoming: mpsc::UnboundedReceiver<Order>,
) {
    let mut under_way: Vec<Option<(watch::Sender<bool>, tokio::task::JoinHandle<()>)>> =
        all.iter().map(|_| None).collect();
    while let Some(order) = incoming.recv().await {
        match order {
            Order::Begin {
                index,
                after,
                in_place,
            } => {
                let (end, ended) = watch::channel(false);
                let place = Place {
                    ground: ground.clone(),
                    application: format!("{DISTURBANCE_PREFIX}{}", all[index].name),
                    end: ended,
                    lasts: all[index].lasts,
                };
                let kind = all[index].kind.clone();
                let task = tokio::task::spawn_local(one(index, kind, after, place, in_place));
                under_way[index] = Some((end, task));
            }
            Order::End { index, over } => {
                if let Some((end, task)) = under_way[index].take() {
                    let _ = end.send(true);
                    let _ = task.await;
                }
                let _ = over.send(());
            }
        }
    }
}

/// One disturbance, from its beginning to its end.
async fn one(
    index: usize,
    kind: DisturbanceKind,
    after: Duration,
    mut place: Place,
    in_place: oneshot::Sender<Result<()>>,
) {
    if !after.is_zero() && place.over_within(after).await {
        // The replay was over before: it was never there, and the recording says no word of it.
        return;
    }
    let (events, clock) = (place.ground.events.clone(), place.ground.clock);
    let mut in_place = Some(in_place);
    let mut began = |pids: Vec<i32>| {
        let Some(in_place) = in_place.take() else {
            return;
        };
        let _ = events.send(Event::DisturbanceBegan {
            disturbance: index,
            at: clock.now(),
            pids,
        });
        let _ = in_place.send(Ok(()));
    };
    let outcome = match kind {
        DisturbanceKind::LongReader { relation } => {
            reader::run(&mut place, &relation, &mut began).await
        }
        DisturbanceKind::PgDump => dump::run(&mut place, &mut began).await,
        DisturbanceKind::IdleTransaction { relation, wrote } => {
            idle::run(&mut place, &relation, wrote, &mut began).await
        }
        DisturbanceKind::Writer { relations, pause } => {
            writer::run(&mut place, &relations, pause, &mut began).await
        }
        DisturbanceKind::AdvisoryWaiter { key, wants } => {
            advisory::run(&mut place, key, wants, &mut began).await
        }
        DisturbanceKind::WraparoundVacuum { relation } => {
            vacuum::wraparound(&mut place, &relation, &mut began).await
        }
        DisturbanceKind::TruncatingVacuum { relation, deletes } => {
            vacuum::truncating(&mut place, &relation, deletes, &mut began).await
        }
    };
    let outcome = match outcome {
        Ok(()) if in_place.is_some() => Err(Error::usage(
            "it was over before it was seen to be in place: the table is too small for it to be in the way",
        )),
        outcome => outcome,
    };
    let error = outcome.err();
    let _ = place.ground.events.send(Event::DisturbanceEnded {
        disturbance: index,
        at: clock.now(),
        error: error.as_ref().map(Error::to_string),
    });
    if let (Some(in_place), Some(error)) = (in_place.take(), error) {
        let _ = in_place.send(Err(error));
    }
}

impl Place {
    /// A session that watches and ends others of this disturbance.
    async fn control(&self) -> Result<Control> {
        Control::open(&self.ground.endpoint, &self.application).await
    }

    /// Waits until it is to end: it was told to, or its time is over.
    async fn over(&mut self) {
        match self.lasts {
            Some(lasts) => drop(self.over_within(lasts).await),
            None => drop(self.end.wait_for(|end| *end).await),
        }
    }

    /// Waits for so long; true if it is to end.
    async fn over_within(&mut self, pause: Duration) -> bool {
        let end = self.end.wait_for(|end| *end);
        tokio::time::timeout(pause, end).await.is_ok()
    }
}
