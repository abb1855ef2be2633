//! A thread of its own, with a runtime and a connection of its own, that polls lock rows.
//!
//! It waits on its control channel, whose time-out parks the thread: a tokio timer of 1 ms takes
//! 2.1 ms, a parked thread 1.1 ms. A result that finds the event channel full is dropped and
//! counted; the next one is compared with the last that got through, so a drop widens bounds just
//! as a missed poll does.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use futures_util::TryStreamExt;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::cadence::{Heed, Pace};
use super::changes;
use super::inquiry::{Heard, Inquiry};
use super::people::People;
use super::session;
use crate::clock::{Clock, Mono};
use crate::durations::Durations;
use crate::pg::session::tell;
use crate::pg::{Session, names, queries};
use crate::plan::Literals;
use crate::recording::format::{Event, LockRow, Poll};
use crate::stage::{Endpoint, census};
use crate::{Error, Result};

/// How often a line tells that polls go on.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often the people are asked about while nothing changes.
const PEOPLE: Duration = Duration::from_millis(20);
/// `pg_blocking_pids` locks the whole lock table for each that waits: the longer an answer took, the longer nobody is
/// asked again, so many times as long.
const REST: u32 = 10;
/// Whoever comes in a crowd is asked about when the last answer is so many times its own time ago.
const REST_FOR_NEWCOMERS: u32 = 4;
/// More rows than this are a crowd: a pool of an application behind one lock.
const CROWD: usize = 16;

/// What a sampler needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The server.
    pub endpoint: Endpoint,
    /// Its major version.
    pub server_major: u32,
    /// The database whose locks count.
    pub database_oid: u32,
    /// The time between two polls.
    pub pace: Pace,
    /// Gaps longer than this are told one by one.
    pub gap_floor: Duration,
    /// The run's clock.
    pub clock: Clock,
    /// Whether literals may be told.
    pub literals: Literals,
    /// Where events go.
    pub events: Sender<Event>,
}

enum Request {
    /// Poll now, and answer when all that the poll showed has been told.
    Sync(oneshot::Sender<()>),
    /// The same, and when all is known of the people in it.
    Settle(oneshot::Sender<()>),
    /// Something has begun that is worth looking at.
    Heed(Heed),
    /// End.
    Stop,
}

/// A running sampler.
#[derive(Debug)]
pub struct Sampler {
    control: Sender<Request>,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread ends.
    lives: watch::Receiver<()>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sync(_) => "Sync",
            Self::Settle(_) => "Settle",
            Self::Heed(_) => "Heed",
            Self::Stop => "Stop",
        })
    }
}

impl Sampler {
    /// Starts one and waits for its first poll.
    ///
    /// # Errors
    /// The session cannot be opened or prepared.
    pub async fn start(setup: Setup) -> Result<Self> {
        let (control, requests) = bounded(16);
        let (ready, started) = oneshot::channel();
        let (life, lives) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || {
                thread_main(setup, &requests, ready);
                drop(life);
            })
            .map_err(|error| Error::defect("cannot start the sampler's thread").because(error))?;
        let sampler = Self {
            control,
            thread: Some(thread),
            lives,
        };
        started
            .await
            .map_err(|_| Error::defect("the sampler's thread ended before it began"))??;
        sampler.sync().await?;
        Ok(sampler)
    }

    /// Has a poll taken after this moment and waits until all that it showed has been told.
    ///
    /// # Errors
    /// The sampler has ended: its connection broke.
    pub async fn sync(&self) -> Result<()> {
        self.ask(Request::Sync).await
    }

    /// The same, and waits until it is known who holds and waits for what the polls so far showed.
    ///
    /// # Errors
    /// The sampler has ended: its connection broke.
    pub async fn settle(&self) -> Result<()> {
        self.ask(Request::Settle).await
    }

    async fn ask(&self, request: impl FnOnce(oneshot::Sender<()>) -> Request) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        self.control.try_send(request(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Tells it that something has begun that may take a lock; does not wait.
    pub fn heed(&self, heed: Heed) {
        // Full or gone: whoever waits for its next poll hears of that.
        let _ = self.control.try_send(Request::Heed(heed));
    }

    /// Waits until it has ended by itself: a step need not go on that nobody watches.
    pub async fn lost(&self) -> Error {
        let mut lives = self.lives.clone();
        while lives.changed().await.is_ok() {}
        gone()
    }

    /// Ends it; its last event is `sampling`.
    pub async fn stop(mut self) {
        // Disconnected: it has ended already.
        let _ = self.control.send(Request::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn gone() -> Error {
    Error::stage("the sampler lost its connection to the server")
}

fn thread_main(setup: Setup, requests: &Receiver<Request>, ready: oneshot::Sender<Result<()>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(
                Error::defect("cannot start the sampler's runtime").because(error)
            ));
            return;
        }
    };
    let eyes = match runtime.block_on(Eyes::open(&setup)) {
        Ok(eyes) => eyes,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    wake_promptly();
    Loop::new(setup).run(&runtime, eyes, requests);
}

/// The kernel may wake a thread 50 µs late, to save power by waking several at once: a third of the
/// shortest pause.
fn wake_promptly() {
    #[cfg(target_os = "linux")]
    {
        // Refused nowhere; where it were, polls would be as far apart as without it.
        let _ = nix::sys::prctl::set_timerslack(1);
    }
}

/// The sessions and their prepared queries.
struct Eyes {
    session: Session,
    locks: Statement,
    inquiry: Inquiry,
}

impl Eyes {
    async fn open(setup: &Setup) -> Result<Self> {
        let (session, locks) =
            session::open(&setup.endpoint, names::SAMPLER, queries::LOCKS).await?;
        Ok(Self {
            session,
            locks,
            inquiry: Inquiry::open(&setup.endpoint, setup.server_major).await?,
        })
    }

    async fn look(
        &self,
        database: u32,
        rows: &mut Vec<LockRow>,
    ) -> Result<(), tokio_postgres::Error> {
        rows.clear();
        let parameters: [&(dyn ToSql + Sync); 1] = [&database];
        let answer = self
            .session
            .client
            .query_raw(&self.locks, parameters)
            .await?;
        futures_util::pin_mut!(answer);
        while let Some(row) = answer.try_next().await? {
            rows.extend(changes::row(
                row.get(0),
                row.get(1),
                row.get(2),
                row.get(3),
                row.get(4),
            ));
        }
        Ok(())
    }
}

struct Loop {
    setup: Setup,
    people: People,
    /// What the last poll that was told showed, and the last poll that showed the same.
    told: Vec<LockRow>,
    last: Option<Poll>,
    rows: Vec<LockRow>,
    taken: Vec<LockRow>,
    gone: Vec<LockRow>,
    /// Gaps that could not be told yet, as one.
    gap_to_tell: Option<(Mono, Mono)>,
    heartbeat: Heartbeat,
    /// Rows that came since it was last asked who is in them.
    newcomers: Vec<LockRow>,
    /// How long the last answer took.
    answer_took: Duration,
    samples: u64,
    dropped: u64,
    gaps: Durations,
    round_trips: Durations,
}

#[derive(Debug, Default)]
struct Heartbeat {
    at: Mono,
    count: u64,
    longest: Duration,
}

impl Loop {
    fn new(setup: Setup) -> Self {
        Self {
            heartbeat: Heartbeat {
                at: setup.clock.now(),
                ..Heartbeat::default()
            },
            setup,
            people: People::default(),
            told: Vec::new(),
            last: None,
            rows: Vec::new(),
            taken: Vec::new(),
            gone: Vec::new(),
            gap_to_tell: None,
            newcomers: Vec::new(),
            answer_took: Duration::ZERO,
            samples: 0,
            dropped: 0,
            gaps: Durations::new(),
            round_trips: Durations::new(),
        }
    }

    fn run(mut self, runtime: &Runtime, mut eyes: Eyes, requests: &Receiver<Request>) {
        let mut error = None;
        let mut settling = false;
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let mut due = self.setup.clock.now();
        loop {
            let rest = due.since(self.setup.clock.now());
            match requests.recv_timeout(rest) {
                Ok(Request::Sync(answer)) => waiting.push(answer),
                Ok(Request::Settle(answer)) => {
                    settling = true;
                    waiting.push(answer);
                }
                Ok(Request::Heed(heed)) => {
                    due = self.setup.pace.heed(heed, self.setup.clock.now(), due);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            let polled = self.poll(runtime, &mut eyes).and_then(|poll| {
                if std::mem::take(&mut settling) {
                    self.settle(runtime, &mut eyes)?;
                }
                Ok(poll)
            });
            match polled {
                Ok(poll) => {
                    due = self.setup.pace.due(poll, &self.told);
                    if !waiting.is_empty() || poll.received.since(self.heartbeat.at) >= HEARTBEAT {
                        self.beat(poll);
                    }
                    for answer in waiting.drain(..) {
                        // Whoever asked may have been interrupted.
                        let _ = answer.send(());
                    }
                }
                // A poll that failed is a poll that was missed; the next one tells the gap.
                Err(failure) if !failure.is_closed() => {
                    due = self.setup.clock.now().after(self.setup.pace.interval());
                }
                Err(failure) => {
                    error = Some(tell(&failure));
                    break;
                }
            }
        }
        // A run that is cut ends between two heartbeats: what was seen since the last one counts.
        if let Some(last) = self.last {
            self.beat(last);
        }
        let event = Event::Sampling {
            samples: self.samples,
            dropped: self.dropped,
            gap: self.gaps.quantiles(),
            round_trip: self.round_trips.quantiles(),
            error,
        };
        // Disconnected: nobody listens any more.
        let _ = self.setup.events.send(event);
    }

    fn poll(&mut self, runtime: &Runtime, eyes: &mut Eyes) -> Result<Poll, tokio_postgres::Error> {
        let clock = self.setup.clock;
        let sent = clock.now();
        runtime.block_on(eyes.look(self.setup.database_oid, &mut self.rows))?;
        let poll = Poll {
            sent,
            received: clock.now(),
        };
        changes::keep_numbers(&mut self.rows, &self.told);
        self.rows.sort_unstable();
        self.rows.dedup();
        self.samples += 1;
        self.round_trips.record(poll.received.since(sent));
        let changed = self.rows != self.told;
        if self.tell_change(poll, changed) {
            self.count(poll);
            self.last = Some(poll);
        }
        self.ask_people(runtime, eyes, poll)?;
        Ok(poll)
    }

    /// Tells what changed; false when the channel is full, as if there had been no poll.
    fn tell_change(&mut self, poll: Poll, changed: bool) -> bool {
        if !changed {
            return true;
        }
        changes::diff(&self.told, &self.rows, &mut self.taken, &mut self.gone);
        let event = Event::Locks {
            before: self.last,
            poll,
            taken: self.taken.clone(),
            gone: self.gone.clone(),
        };
        if self.setup.events.try_send(event).is_err() {
            self.dropped += 1;
            return false;
        }
        std::mem::swap(&mut self.told, &mut self.rows);
        self.newcomers.extend_from_slice(&self.taken);
        self.setup.pace.changed(poll, &self.taken);
        self.setup.pace.changed(poll, &self.gone);
        true
    }

    /// Books the gap since the last poll that was told.
    fn count(&mut self, poll: Poll) {
        self.heartbeat.count += 1;
        let Some(last) = self.last else {
            return;
        };
        let gap = poll.received.since(last.sent);
        self.gaps.record(gap);
        if gap <= self.setup.gap_floor {
            self.heartbeat.longest = self.heartbeat.longest.max(gap);
        } else {
            let (from, to) = self.gap_to_tell.unwrap_or((last.sent, poll.received));
            self.gap_to_tell = Some((from.min(last.sent), to.max(poll.received)));
        }
        if let Some((from, to)) = self.gap_to_tell
            && self.setup.events.try_send(Event::Gap { from, to }).is_ok()
        {
            self.gap_to_tell = None;
        }
    }

    fn beat(&mut self, poll: Poll) {
        if let Some((from, to)) = self.gap_to_tell.take() {
            let _ = self.setup.events.send(Event::Gap { from, to });
        }
        let event = Event::Samples {
            count: self.heartbeat.count,
            longest_gap: self.heartbeat.longest,
            last: self.last.unwrap_or(poll),
        };
        // This one waits for room: whoever asked waits as well.
        let _ = self.setup.events.send(event);
        self.heartbeat = Heartbeat {
            at: poll.received,
            ..Heartbeat::default()
        };
    }

    fn ask_people(
        &mut self,
        runtime: &Runtime,
        eyes: &mut Eyes,
        poll: Poll,
    ) -> Result<(), tokio_postgres::Error> {
        if let Some(heard) = eyes.inquiry.heard(runtime)? {
            self.tell_people(&heard);
        }
        let since = poll.received.since(eyes.inquiry.asked());
        let took = self.answer_took;
        let due = !self.told.is_empty() && since >= PEOPLE.max(took * REST);
        let soon = self.told.len() <= CROWD || since >= took * REST_FOR_NEWCOMERS;
        if due || (!self.newcomers.is_empty() && soon) {
            self.inquire(runtime, eyes);
        }
        Ok(())
    }

    /// Asks about everybody in the rows, also those that have gone since.
    fn inquire(&mut self, runtime: &Runtime, eyes: &mut Eyes) {
        if !eyes.inquiry.is_under_way() {
            let now = self.setup.clock.now();
            let about = self.told.iter().copied().chain(self.newcomers.drain(..));
            eyes.inquiry.ask(runtime, now, about);
        }
    }

    /// Waits until everybody is known.
    fn settle(&mut self, runtime: &Runtime, eyes: &mut Eyes) -> Result<(), tokio_postgres::Error> {
        loop {
            if let Some(heard) = eyes.inquiry.wait(runtime)? {
                self.tell_people(&heard);
            }
            if self.newcomers.is_empty() {
                return Ok(());
            }
            self.inquire(runtime, eyes);
        }
    }

    fn tell_people(&mut self, heard: &Heard<'_>) {
        let literals = self.setup.literals;
        let by = self.setup.clock.now();
        self.answer_took = by.since(heard.at);
        let ours = census::processes(&self.setup.endpoint);
        let news = self.people.news(
            (heard.at, by),
            &heard.activity,
            heard.about,
            literals,
            &ours,
        );
        for event in news {
            // What finds no room is told again the next time, as if nothing had been.
            if self.setup.events.try_send(event).is_err() {
                self.people = People::default();
                break;
            }
        }
    }
}
