//! Makes requests when they are due, for as long as it is asked to.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_local;

use super::alarm::Alarm;
use super::dice::Dice;
use super::pool::{Job, Phase, Pool};
use super::schedule::Schedule;
use crate::clock::Mono;
use crate::durations::Durations;
use crate::plan::{Load, Traffic};

/// The numbers of a closed loop's requests: so many bits for those of one client.
const OF_A_CLIENT: u32 = 40;

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// Requests that were due.
    pub due: u64,
    /// Those that were begun.
    pub begun: u64,
    /// How long after they were due.
    pub lateness: Durations,
}

/// Who makes requests.
pub struct Driver {
    pool: Rc<Pool>,
    seed: u64,
    began: Mono,
    begun: Cell<u64>,
    lateness: RefCell<Durations>,
}

impl Driver {
    /// Of a pool; the first slice begins at `began`.
    pub fn new(pool: Rc<Pool>, seed: u64, began: Mono) -> Self {
        Self {
            pool,
            seed,
            began,
            begun: Cell::new(0),
            lateness: RefCell::new(Durations::new()),
        }
    }

    /// Makes requests until `stop` says that it is enough.
    ///
    /// # Errors
    /// The kernel has no timer.
    pub async fn run(
        self: Rc<Self>,
        traffic: &Traffic,
        stop: &mut watch::Receiver<Option<Duration>>,
    ) -> io::Result<Made> {
        let due = match traffic.load {
            Load::Open { rate, arrivals } => {
                self.open(Schedule::new(self.seed, rate, arrivals), stop)
                    .await?
            }
            Load::Closed { clients, think } => {
                for client in 0..clients {
                    spawn_local(Rc::clone(&self).client(client, think));
                }
                stopped(stop).await;
                self.begun.get()
            }
        };
        Ok(Made {
            due,
            begun: self.begun.get(),
            lateness: self.lateness.borrow().clone(),
        })
    }

    /// By the schedule; how many were due.
    async fn open(
        &self,
        schedule: Schedule,
        stop: &mut watch::Receiver<Option<Duration>>,
    ) -> io::Result<u64> {
        let clock = self.pool.clock;
        let alarm = Alarm::new()?;
        let mut dues = schedule.map(|at| self.began.after(at)).peekable();
        let mut number = 0;
        while let Some(due) = dues.peek().copied() {
            tokio::select! {
                biased;
                () = stopped(stop) => break,
                on_time = alarm.until(clock, due) => on_time?,
            }
            self.begin(number, due, None);
            number += 1;
            dues.next();
        }
        // What was due by now and has not had its turn: a generator that was starved owns up to it.
        let now = clock.now();
        let missed = dues.take_while(|due| *due <= now).count();
        Ok(number + missed as u64)
    }

    /// One client of a closed loop.
    async fn client(self: Rc<Self>, client: u32, think: Duration) {
        let place = client as usize;
        let first = u64::from(client + 1) << OF_A_CLIENT;
        // Not all at once.
        let mut rest = think.mul_f64(Dice::of(self.seed, first - 1).unit());
        for number in first.. {
            if !rest.is_zero() {
                tokio::time::sleep(rest).await;
            }
            if *self.pool.phase.borrow() != Phase::Running {
                return;
            }
            self.begin(number, self.pool.clock.now(), Some(place));
            self.pool.clients[place].notified().await;
            rest = think;
            if rest.is_zero() {
                // A request that is refused at once must not keep all others from their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    fn begin(&self, number: u64, due: Mono, client: Option<usize>) {
        let mut dice = Dice::of(self.seed, number);
        let begun = self.pool.clock.now();
        let late = begun.since(due);
        self.lateness.borrow_mut().record(late);
        self.begun.set(self.begun.get() + 1);
        self.pool.begin(Job {
            operation: self.pool.programs.choose(&mut dice),
            dice,
            due,
            begun,
            client,
        });
    }
}

/// Waits until it is enough; whoever can say so being gone says so as well.
pub async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) {
    let _ = stop.wait_for(Option::is_some).await;
}
