//! Several runs, some of them at once.
//!
//! Each has a thread with a runtime of its own: on a shared one, what one run does between two
//! awaits would lie between another's statement and the moment that its reply is read.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use super::company::Company;
use super::conductor::Sink;
use super::{Finished, run_in};
use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::plan::Plan;
use crate::replay::interrupted;
use crate::stage::Watch;
use crate::{Error, Result};

/// As much as the main thread has, on which a single run takes place.
const STACK: usize = 8 * 1024 * 1024;

/// One of several runs.
pub struct Job<'a> {
    /// What is run.
    pub plan: &'a Plan,
    /// What was decided before and is worth knowing.
    pub notes: &'a [String],
    /// Who is told of its progress.
    pub watch: &'a dyn Watch,
    /// Where it is recorded; None: nowhere.
    pub recording: Option<Sink>,
}

/// How one of them ended.
#[derive(Debug)]
pub struct Ended {
    /// Its place among the jobs.
    pub job: usize,
    /// From its start to its end; None: it was never started.
    pub took: Option<Duration>,
    /// As of [`super::run`].
    pub outcome: Result<Finished>,
}

/// Runs all of them, at most `at_once` at the same time, begun in their order; `ended` is called here
/// as each ends. One that fails takes no other with it, an interrupt ends all.
///
/// Blocks, so from asynchronous code it belongs on a thread of its own.
pub fn many(jobs: Vec<Job<'_>>, at_once: u32, interrupt: &Interrupt, mut ended: impl FnMut(Ended)) {
    let company = Company::of(at_once);
    let clock = Clock::start();
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let mut waiting = jobs.into_iter().enumerate();
        let mut under_way = BTreeMap::new();
        loop {
            while under_way.len() < at_once.max(1) as usize && interrupt.signal().is_none() {
                let Some((number, job)) = waiting.next() else {
                    break;
                };
                let (company, end) = (&company, End(number, tell.clone()));
                let thread = std::thread::Builder::new()
                    .name(format!("scenario {}", number + 1))
                    .stack_size(STACK)
                    .spawn_scoped(scope, move || {
                        let _end = end;
                        on_this_thread(company, job, interrupt)
                    });
                match thread {
                    Ok(thread) => drop(under_way.insert(number, (clock.now(), thread))),
                    Err(error) => ended(Ended {
                        job: number,
                        took: None,
                        outcome: Err(
                            Error::defect("cannot start a scenario's thread").because(error)
                        ),
                    }),
                }
            }
            if under_way.is_empty() {
                break;
            }
            // Each thread tells its end, also one that panics.
            let Ok(number) = told.recv() else { break };
            if let Some((since, thread)) = under_way.remove(&number) {
                ended(Ended {
                    job: number,
                    took: Some(clock.now().since(since)),
                    outcome: joined(thread),
                });
            }
        }
        for (number, _) in waiting {
            ended(Ended {
                job: number,
                took: None,
                outcome: Err(interrupted(interrupt.signal().unwrap_or_default())),
            });
        }
    });
}

/// Tells that a thread ends, however it does.
struct End(usize, mpsc::Sender<usize>);

impl Drop for End {
    fn drop(&mut self) {
        // Nobody waits any more only if that side panicked.
        let _ = self.1.send(self.0);
    }
}

fn on_this_thread(company: &Company, job: Job<'_>, interrupt: &Interrupt) -> Result<Finished> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::defect("cannot start the runtime").because(error))?
        .block_on(run_in(
            company,
            job.plan,
            job.notes,
            job.watch,
            interrupt,
            job.recording,
        ))
}

fn joined(thread: ScopedJoinHandle<'_, Result<Finished>>) -> Result<Finished> {
    thread
        .join()
        .unwrap_or_else(|_| Err(Error::defect("the scenario's thread panicked")))
}
