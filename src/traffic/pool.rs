//! The application in front: a queue for a pool of connections, and what becomes of each request.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::connection::{Connection, Failure, Recovered};
use super::dice::Dice;
use super::marks::Marks;
use super::program::Programs;
use super::tally::Tally;
use crate::clock::{Clock, Mono};
use crate::durations::Durations;
use crate::plan::Front;
use crate::recording::traffic::{Ending, Request, Window};
use crate::stage::Endpoint;

/// The first rest before a connection that broke is opened again; it doubles up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long requests to cancel may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A request that has begun.
#[derive(Debug)]
pub struct Job {
    /// Its operation.
    pub operation: usize,
    /// What its keys are drawn with.
    pub dice: Dice,
    /// When it was to be made.
    pub due: Mono,
    /// When it was made.
    pub begun: Mono,
    /// Who waits for its end; None: nobody does, in an open loop.
    pub client: Option<usize>,
}

/// How far the traffic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Requests are made.
    Running,
    /// No more are made, those that have begun may end.
    Draining,
    /// Nothing goes on.
    Over,
}

/// What all tasks of the generator's thread share.
pub struct Pool {
    /// The server.
    pub endpoint: Endpoint,
    /// The run's clock.
    pub clock: Clock,
    /// The application in front.
    pub front: Front,
    /// What is asked.
    pub programs: Programs,
    /// When steps began and ended.
    pub marks: Arc<Marks>,
    /// What was counted.
    pub tally: RefCell<Tally>,
    /// From begun to a connection, of requests that were due before the first step, in microseconds.
    pub waits: RefCell<Durations>,
    /// One for each client of a closed loop.
    pub clients: Vec<Notify>,
    /// How far it is.
    pub phase: watch::Sender<Phase>,
    /// Told when no request is under way.
    pub quiet: Notify,
    /// Requests for which there was no connection yet, in the order in which they were due.
    queue: RefCell<VecDeque<Job>>,
    /// Told when a request waits.
    waiting: Notify,
    /// The same, for who refuses those that wait too long.
    watched: Notify,
    /// Requests that have begun and not ended.
    open: Cell<u64>,
    /// Connections that are open.
    connections: Cell<u32>,
    /// Why none could be opened, last; None: one could.
    refusal: RefCell<Option<String>>,
}

impl Pool {
    /// With so many connections open.
    #[expect(
        clippy::too_many_arguments,
        reason = "what its tasks share, of several rooms"
    )]
    pub fn new(
        endpoint: Endpoint,
        clock: Clock,
        front: Front,
        programs: Programs,
        marks: Arc<Marks>,
        tally: Tally,
        clients: u32,
        connections: u32,
    ) -> Self {
        Self {
            endpoint,
            clock,
            front,
            programs,
            marks,
            tally: RefCell::new(tally),
            waits: RefCell::new(Durations::new()),
            clients: (0..clients).map(|_| Notify::new()).collect(),
            phase: watch::channel(Phase::Running).0,
            quiet: Notify::new(),
            queue: RefCell::default(),
            waiting: Notify::new(),
            watched: Notify::new(),
            open: Cell::new(0),
            connections: Cell::new(connections),
            refusal: RefCell::default(),
        }
    }

    /// A request begins: it stands in the queue until a connection is free.
    pub fn begin(&self, job: Job) {
        self.open.set(self.open.get() + 1);
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            self.watched.notify_one();
        }
        queue.push_back(job);
        drop(queue);
        self.waiting.notify_one();
    }

    /// True when every request that began has ended.
    pub fn is_quiet(&self) -> bool {
        self.open.get() == 0
    }

    /// Why there is no connection; None: there is one.
    pub fn refusal(&self) -> Option<String> {
        if self.connections.get() > 0 {
            return None;
        }
        let refusal = self.refusal.borrow().clone();
        Some(refusal.unwrap_or_else(|| "all connections broke".to_owned()))
    }

    /// Waits for a phase.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.phase.subscribe();
        // The sender lives as long as the pool.
        let _ = phases.wait_for(|now| *now as u8 >= phase as u8).await;
    }

    /// The longest that a request may wait for a connection, and what that is called.
    fn patience(&self) -> (Duration, Ending) {
        let Front {
            acquire_timeout,
            request_timeout,
            ..
        } = self.front;
        if request_timeout < acquire_timeout {
            (request_timeout, Ending::TimedOut)
        } else {
            (acquire_timeout, Ending::Refused)
        }
    }

    /// Ends those that have waited for too long.
    fn refuse_late_ones(&self) {
        let (patience, ending) = self.patience();
        loop {
            let now = self.clock.now();
            let mut queue = self.queue.borrow_mut();
            let late = queue.pop_front_if(|job| now.since(job.due) >= patience);
            drop(queue);
            let Some(job) = late else { return };
            self.wait_seen(&job, now);
            self.ended(&job, None, None, ending, None);
        }
    }

    /// Refuses those that wait for too long, for ever.
    pub async fn doorkeeper(self: Rc<Self>) {
        let (patience, _) = self.patience();
        loop {
            self.refuse_late_ones();
            let first = self.queue.borrow().front().map(|job| job.due);
            match first {
                Some(due) => {
                    let rest = due.after(patience).since(self.clock.now());
                    tokio::time::sleep(rest).await;
                }
                None => self.watched.notified().await,
            }
        }
    }

    /// The next request, waited for.
    async fn next(&self) -> Job {
        loop {
            self.refuse_late_ones();
            let job = self.queue.borrow_mut().pop_front();
            match job {
                Some(job) => return job,
                None => self.waiting.notified().await,
            }
        }
    }

    fn wait_seen(&self, job: &Job, until: Mono) {
        if self.marks.window(job.due, until) == Window::Baseline {
            let waited = until.since(job.begun);
            self.waits.borrow_mut().record(waited);
        }
    }

    /// A request ends now.
    fn ended(
        &self,
        job: &Job,
        pid: Option<i32>,
        acquired: Option<Mono>,
        ending: Ending,
        failure: Option<&str>,
    ) {
        let ended = self.clock.now();
        let ending = match ending {
            Ending::Ok if ended.since(job.due) > self.front.slow => Ending::Slow,
            ending => ending,
        };
        let request = Request {
            window: self.marks.window(job.due, ended),
            operation: job.operation,
            pid,
            due: job.due,
            acquired,
            ended,
            ending,
        };
        self.tally.borrow_mut().count(&request, failure);
        if let Some(client) = job.client {
            self.clients[client].notify_one();
        }
        self.open.set(self.open.get() - 1);
        if self.is_quiet() {
            self.quiet.notify_one();
        }
    }

    /// Serves requests on one connection, and on another when it breaks, until all is over.
    pub async fn serve(self: Rc<Self>, connection: Connection) {
        let mut connection = Some(connection);
        let over = self.reached(Phase::Over);
        tokio::pin!(over);
        loop {
            let mut open = match connection.take() {
                Some(open) => open,
                None => tokio::select! {
                    open = self.reopened() => open,
                    () = &mut over => return,
                },
            };
            let job = tokio::select! {
                biased;
                () = &mut over => return open.close().await,
                () = open.ended() => {
                    self.broke();
                    continue;
                }
                job = self.next() => job,
            };
            let done = self.perform(&mut open, job);
            let recovered = tokio::select! {
                recovered = done => recovered,
                () = &mut over => {
                    // What nobody waits for any more must not stand in anybody's way.
                    let _ = tokio::time::timeout(LAST_WORDS, open.session().cancel()).await;
                    return open.close().await;
                }
            };
            match recovered {
                Recovered::Yes => connection = Some(open),
                Recovered::No => self.broke(),
            }
        }
    }

    /// Makes one request; whether the connection can be used again.
    async fn perform(&self, open: &mut Connection, mut job: Job) -> Recovered {
        let acquired = self.clock.now();
        self.wait_seen(&job, acquired);
        let pid = Some(open.session().pid);
        let program = &self.programs.operations[job.operation];
        let rest = job.due.after(self.front.request_timeout).since(acquired);
        let answer = tokio::select! {
            biased;
            answer = open.run(&self.programs, program, &mut job.dice) => Some(answer),
            () = tokio::time::sleep(rest) => None,
        };
        let end = |ending, failure| self.ended(&job, pid, Some(acquired), ending, failure);
        match answer {
            Some(Ok(())) => {
                end(Ending::Ok, None);
                Recovered::Yes
            }
            Some(Err(failure)) => {
                end(ending_of(&failure), Some(failure.code()));
                if failure.breaks() {
                    return Recovered::No;
                }
                open.reset(program.transaction).await
            }
            None => {
                end(Ending::TimedOut, None);
                open.give_up(program.transaction).await
            }
        }
    }

    fn broke(&self) {
        self.connections.set(self.connections.get() - 1);
    }

    async fn reopened(&self) -> Connection {
        let (mut pause, longest) = PAUSES;
        loop {
            match Connection::open(&self.endpoint).await {
                Ok(open) => {
                    self.connections.set(self.connections.get() + 1);
                    self.refusal.borrow_mut().take();
                    return open;
                }
                Err(error) => *self.refusal.borrow_mut() = Some(error.story()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

fn ending_of(failure: &Failure) -> Ending {
    if failure.code() == "40P01" {
        Ending::Deadlocked
    } else {
        Ending::Failed
    }
}
