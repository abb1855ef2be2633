//! What the sampler costs the server's clients: `pgbench -S` with and without it, in pairs.

use std::time::Duration;

use lockproof::clock::Clock;
use lockproof::observe::cadence::Heed;
use lockproof::plan::Cadence;

use crate::ground::Ground;
use crate::numbers::{median, setting, spread};
use crate::table::{Bar, Table};
use crate::watching::Watching;
use crate::{Outcome, allocations, pgbench, surroundings};

/// How it looks.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    name: &'static str,
    cadence: Cadence,
    millis: u64,
    /// Kept at its closest, as around a lock that a budget limits.
    close: bool,
}

const FIXED: fn(&'static str, u64) -> Look = |name, millis| Look {
    name,
    cadence: Cadence::Fixed,
    millis,
    close: false,
};
const QUIET: Look = Look {
    name: "adaptive, nothing at stake",
    cadence: Cadence::Adaptive,
    millis: 2,
    close: false,
};
const CLOSE: Look = Look {
    name: "adaptive, at its closest all the time",
    close: true,
    ..QUIET
};

pub fn run(table: &mut Table) -> Outcome {
    let ground = Ground::start()?;
    pgbench::prepare(&ground)?;
    allocations::run(&ground, table)?;
    let pairs: usize = setting("PAIRS", 8);
    pgbench::serve(&ground, 1)?;
    for (look, pairs, bar) in [
        (FIXED("every 2 ms", 2), pairs, Bar::AtLeast(0.97)),
        (FIXED("every 1 ms", 1), pairs.div_ceil(2), Bar::Info),
        (FIXED("every 5 ms", 5), pairs.div_ceil(2), Bar::Info),
        (QUIET, pairs, Bar::AtLeast(0.97)),
        (CLOSE, pairs.div_ceil(2), Bar::Info),
    ] {
        in_pairs(&ground, table, look, look.name, pairs, bar)?;
    }
    for (look, bar) in [
        (FIXED("every 2 ms", 2), Bar::AtLeast(0.97)),
        (CLOSE, Bar::Info),
    ] {
        in_slices(&ground, table, look, bar)?;
    }
    surroundings::run(&ground, table, |table, name| {
        in_pairs(&ground, table, QUIET, name, pairs.div_ceil(2), Bar::Info)
    })?;
    ground.stop()
}

/// A sampler that is watched while it watches.
struct Looking<'a> {
    ground: &'a Ground,
    watching: Watching,
    look: Look,
}

impl<'a> Looking<'a> {
    fn start(ground: &'a Ground, look: Look) -> Outcome<Self> {
        let interval = Duration::from_millis(look.millis);
        let watching = Watching::start(ground, look.cadence, interval)?;
        Ok(Self {
            ground,
            watching,
            look,
        })
    }

    /// Does something with the sampler kept at its closest where that is asked for.
    fn during<T: Send>(&self, work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
        if !self.look.close {
            return work();
        }
        let (end, ended) = crossbeam_channel::bounded::<()>(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let pause = Duration::from_millis(100);
                while ended.recv_timeout(pause).is_err_and(|e| e.is_timeout()) {
                    self.watching.sampler.heed(Heed::Closely);
                }
            });
            let result = work();
            drop(end);
            result
        })
    }

    fn stop(self) {
        self.watching.stop(self.ground);
    }
}

/// On and off in turn, so that both sides see the same machine.
fn in_pairs(
    ground: &Ground,
    table: &mut Table,
    look: Look,
    name: &str,
    pairs: usize,
    bar: Bar,
) -> Outcome {
    let seconds = setting("SECONDS", 5);
    let cores = std::thread::available_parallelism()?;
    let (mut rates, mut p99s, mut ours, mut theirs) = (vec![], vec![], vec![], vec![]);
    let mut without = vec![];
    for pair in 0..pairs {
        let mut services = [None, None];
        for side in [pair % 2, (pair + 1) % 2] {
            if side == 0 {
                services[0] = Some(pgbench::serve(ground, seconds)?);
                continue;
            }
            let looking = Looking::start(ground, look)?;
            let clock = Clock::start();
            let before = looking.watching.cpu();
            services[1] = Some(looking.during(|| pgbench::serve(ground, seconds))?);
            let after = looking.watching.cpu();
            let elapsed = clock.now().0 as f64;
            ours.push((after.0 - before.0) / elapsed);
            theirs.push((after.1 - before.1) / elapsed);
            looking.stop();
        }
        if let [Some(off), Some(on)] = services {
            rates.push(on.rate / off.rate);
            p99s.push(on.p99 / off.p99);
            without.push(off.p99);
        }
    }
    table.add(
        format!("throughput with the sampler ÷ without: {name} ({pairs} pairs of {seconds} s)"),
        median(&rates),
        format!(
            "{}  (its thread {:.1} %, its server process {:.1} % of a core; {:.1} % of all {cores})",
            spread(&rates),
            median(&ours) * 100.0,
            median(&theirs) * 100.0,
            (median(&ours) + median(&theirs)) * 100.0 / cores.get() as f64
        ),
        bar,
    );
    table.info(
        "  p99 of the clients' latency with it ÷ without",
        format!("{}  (without: {:.2} ms)", spread(&p99s), median(&without)),
    );
    Ok(())
}

/// The same within one run of pgbench: on and off in turn, in slices too short for a busy machine to
/// change its mood in between. Transactions are counted by the times that pgbench logs.
fn in_slices(ground: &Ground, table: &mut Table, look: Look, bar: Bar) -> Outcome {
    const SLICE: Duration = Duration::from_millis(500);
    /// Connecting and disconnecting is no part of sampling.
    const MARGIN: i64 = 120_000;
    let pairs: usize = setting("SLICES", 60);
    let folder = tempfile::tempdir()?;
    let mut pgbench = pgbench::start(ground, folder.path(), pairs as u64 + 10)?;
    let now = || lockproof::clock::wall().as_microsecond();
    std::thread::sleep(Duration::from_secs(1));
    let mut edges = Vec::new();
    for pair in 0..pairs {
        let mut edge = [0; 2];
        for side in [pair % 2, (pair + 1) % 2] {
            let began = now();
            let looking = (side == 1)
                .then(|| Looking::start(ground, look))
                .transpose()?;
            let left = SLICE.saturating_sub(Duration::from_micros((now() - began).unsigned_abs()));
            let rest = || {
                std::thread::sleep(left);
                Ok(())
            };
            match &looking {
                Some(looking) => looking.during(rest)?,
                None => rest()?,
            }
            edge[side] = now();
            if let Some(looking) = looking {
                looking.stop();
            }
        }
        edges.push(edge);
    }
    pgbench.wait()?;
    let mut ends: Vec<i64> = pgbench::read(folder.path())?
        .into_iter()
        .map(|(end, _)| end)
        .collect();
    ends.sort_unstable();
    let length = i64::try_from(SLICE.as_micros())? - MARGIN;
    let count = |edge: i64| {
        let until = |moment| ends.partition_point(|end| *end < moment);
        (until(edge) - until(edge - length)) as f64
    };
    let ratios: Vec<f64> = edges
        .iter()
        .map(|[off, on]| count(*on) / count(*off))
        .collect();
    let deviation = {
        let middle = median(&ratios);
        let off: Vec<f64> = ratios.iter().map(|ratio| (ratio - middle).abs()).collect();
        median(&off) * 1.4826 * 1.2533 / (ratios.len() as f64).sqrt()
    };
    table.add(
        format!(
            "the same in {pairs} pairs of 0.4 s within one run of pgbench: {}",
            look.name
        ),
        median(&ratios),
        format!("{:.3} ± {deviation:.3}", median(&ratios)),
        bar,
    );
    Ok(())
}
