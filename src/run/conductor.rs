//! The thread through which every event goes, in one order: to the recording, to the analysis, and
//! back to the run as what it needs to go on.

use std::collections::BTreeSet;
use std::io::Write;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc;

use crate::analyse::{Analyst, Timeline};
use crate::judge::{self, Verdict};
use crate::plan::Policy;
use crate::recording::format::{Event, Header};
use crate::recording::write::Writer;
use crate::{Error, Result, redact};

/// Events that fit between the sampler and here; some ten seconds of a busy run.
const ROOM: usize = 16_384;

/// A rest after having caught up. Whoever tells an event meanwhile has nobody to wake; waking costs
/// microseconds, which lay between a statement's clock and the wire, twice a statement.
const NAP: Duration = Duration::from_millis(1);

/// Where a recording goes.
pub type Sink = Box<dyn Write + Send>;

/// What the run is told back.
#[derive(Debug)]
enum Answer {
    /// A step ended, and these relations were seen locked in it.
    Step(BTreeSet<u32>),
    /// A replay ended; so its measurement stands.
    Replay(Verdict),
}

/// The run's side.
#[derive(Debug)]
pub struct Conductor {
    events: Sender<Event>,
    answers: mpsc::UnboundedReceiver<Answer>,
    standing: Option<Verdict>,
    thread: JoinHandle<(Timeline, std::io::Result<()>)>,
}

impl Conductor {
    /// Starts the thread.
    ///
    /// # Errors
    /// The recording cannot be written.
    pub fn start(header: Header, policy: Policy, sink: Option<Sink>) -> Result<Self> {
        let header = redact::event::header(header);
        let writer = sink
            .map(|sink| Writer::new(sink, &header))
            .transpose()
            .map_err(unwritable)?;
        let (events, incoming) = bounded(ROOM);
        let (answer, answers) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("conductor".to_owned())
            .spawn(move || conduct(Analyst::new(header), &policy, writer, &incoming, &answer))
            .map_err(|error| Error::defect("cannot start the conductor's thread").because(error))?;
        Ok(Self {
            events,
            answers,
            standing: None,
            thread,
        })
    }

    /// Where events go.
    pub fn events(&self) -> &Sender<Event> {
        &self.events
    }

    /// Appends an event.
    pub fn tell(&self, event: Event) {
        // The thread ends only after this side has.
        let _ = self.events.send(event);
    }

    /// Waits until the step's end has been taken in; the relations that were seen locked in it.
    pub async fn step_taken(&mut self) -> BTreeSet<u32> {
        loop {
            match self.answers.recv().await {
                Some(Answer::Step(seen)) => return seen,
                Some(Answer::Replay(verdict)) => self.standing = Some(verdict),
                None => return BTreeSet::new(),
            }
        }
    }

    /// Waits until the replay's end has been taken in; how the run stands.
    pub async fn replay_taken(&mut self) -> Verdict {
        loop {
            if let Some(verdict) = self.standing.take() {
                return verdict;
            }
            match self.answers.recv().await {
                Some(Answer::Replay(verdict)) => return verdict,
                Some(Answer::Step(_)) => {}
                None => return Verdict::Unproven,
            }
        }
    }

    /// Ends the recording; the timeline, and whether all of it could be recorded.
    ///
    /// # Errors
    /// A defect of lockproof: the thread panicked.
    pub fn finish(self) -> Result<(Timeline, Result<()>)> {
        drop(self.events);
        let (timeline, written) = self
            .thread
            .join()
            .map_err(|_| Error::defect("the conductor's thread panicked"))?;
        Ok((timeline, written.map_err(unwritable)))
    }
}

fn conduct(
    mut analyst: Analyst,
    policy: &Policy,
    mut writer: Option<Writer<Sink>>,
    incoming: &Receiver<Event>,
    answers: &mpsc::UnboundedSender<Answer>,
) -> (Timeline, std::io::Result<()>) {
    let mut written = Ok(());
    let mut seen = BTreeSet::new();
    let literals = analyst.timeline().header.literals;
    while let Some(event) = next(incoming) {
        // Before it is written and before it is taken in: what is made of it has no other source.
        let event = redact::event::event(event, literals);
        if let Some(open) = &mut writer
            && let Err(error) = open.append(&event)
        {
            // The run goes on: what is lost is the recording, not the verdict.
            written = Err(error);
            writer = None;
        }
        let answer = match &event {
            Event::Locks { taken, .. } => {
                seen.extend(taken.iter().map(|row| row.relation).filter(|oid| *oid != 0));
                None
            }
            Event::StepFinished { .. } => Some(Answer::Step(std::mem::take(&mut seen))),
            Event::Sampling { .. } => Some(Answer::Replay(Verdict::Unproven)),
            _ => None,
        };
        analyst.push(event);
        let answer = match answer {
            Some(Answer::Replay(_)) => Some(Answer::Replay(judge::last_repeat(
                analyst.timeline(),
                policy,
            ))),
            answer => answer,
        };
        if let Some(answer) = answer {
            // The run may have been given up meanwhile.
            let _ = answers.send(answer);
        }
    }
    if let (Some(writer), Ok(())) = (&mut writer, &written) {
        written = writer.flush();
    }
    (analyst.finish(), written)
}

/// The next event; None: nobody is left to tell any.
fn next(incoming: &Receiver<Event>) -> Option<Event> {
    incoming.try_recv().ok().or_else(|| {
        std::thread::sleep(NAP);
        incoming.recv().ok()
    })
}

fn unwritable(error: std::io::Error) -> Error {
    Error::report("the recording cannot be written")
        .because(error)
        .help("check the space and the permissions of the `--record` file")
}
