//! A sampler as a run has it, whose events nobody reads.

use std::time::Duration;

use lockproof::clock::Clock;
use lockproof::observe::cadence::Pace;
use lockproof::observe::{Sampler, Setup};
use lockproof::pg::LockMode;
use lockproof::plan::{Cadence, Literals};
use lockproof::recording::format::Event;

use crate::Outcome;
use crate::ground::Ground;
use crate::numbers::on_cpu;

pub struct Watching {
    pub sampler: Sampler,
    thread: String,
    process: String,
}

impl Watching {
    pub fn start(ground: &Ground, cadence: Cadence, interval: Duration) -> Outcome<Self> {
        let (events, incoming) = crossbeam_channel::bounded::<Event>(16_384);
        // Ends with the sampler.
        std::thread::spawn(move || incoming.into_iter().for_each(drop));
        let database_oid = ground
            .sql(
                "bench",
                "SELECT oid FROM pg_database WHERE datname = current_database()",
            )?
            .parse()?;
        let sampler = ground.wait(Sampler::start(Setup {
            endpoint: ground.endpoint().clone(),
            server_major: ground.major(),
            database_oid,
            pace: Pace::new(cadence, interval, vec![LockMode::AccessExclusiveLock]),
            gap_floor: Duration::from_millis(10),
            clock: Clock::start(),
            literals: Literals::Hidden,
            events,
        }))?;
        let pid = ground.sql(
            "bench",
            "SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'lockproof sampler'",
        )?;
        Ok(Self {
            sampler,
            thread: thread_of("sampler")?,
            process: format!("/proc/{pid}"),
        })
    }

    pub fn cpu(&self) -> (f64, f64) {
        let of = |task| on_cpu(task).unwrap_or(f64::NAN);
        (of(&self.thread), of(&self.process))
    }

    pub fn stop(self, ground: &Ground) {
        ground.wait(self.sampler.stop());
        // Its server process ends a moment later; it is not to reach into the next run.
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn thread_of(name: &str) -> Outcome<String> {
    for entry in std::fs::read_dir("/proc/self/task")? {
        let folder = entry?.path();
        if std::fs::read_to_string(folder.join("comm"))?.trim() == name {
            return Ok(folder.display().to_string());
        }
    }
    Err(format!("no thread `{name}`").into())
}
