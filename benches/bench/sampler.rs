//! What the sampler costs the server's clients: `pgbench -S` with and without it, in pairs.

use std::time::Duration;

use futures_util::TryStreamExt;
use lockproof::clock::Clock;
use lockproof::observe::cadence::Pace;
use lockproof::observe::{Sampler, Setup};
use lockproof::pg::LockMode;
use lockproof::plan::{Cadence, Literals};
use lockproof::recording::format::Event;

use crate::ground::Ground;
use crate::numbers::{median, on_cpu, setting, spread};
use crate::table::{Bar, Table};
use crate::{Outcome, alloc};

pub fn run(table: &mut Table) -> Outcome {
    let ground = Ground::start()?;
    let status = ground
        .program("pgbench", "bench")
        .args(["-i", "-q", "-s", "10"])
        .stderr(std::process::Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("pgbench -i: {status}").into());
    }
    allocations(&ground, table)?;
    let pairs: usize = setting("PAIRS", 8);
    throughput(&ground, 1)?;
    for (millis, pairs, bar) in [
        (2, pairs, Bar::AtLeast(0.97)),
        (5, pairs.div_ceil(2), Bar::Info),
        (1, pairs.div_ceil(2), Bar::Info),
    ] {
        pairs_at(&ground, table, millis, pairs, bar)?;
    }
    for millis in [2, 1] {
        slices(&ground, table, millis)?;
    }
    ground.stop()
}

/// The same within one run of pgbench: on and off in turn, in slices too short for a busy machine to
/// change its mood in between. Transactions are counted by the times that pgbench logs.
fn slices(ground: &Ground, table: &mut Table, millis: u64) -> Outcome {
    const SLICE: Duration = Duration::from_millis(500);
    /// Connecting and disconnecting is no part of sampling.
    const MARGIN: i64 = 120_000;
    let pairs: usize = setting("SLICES", 60);
    let folder = tempfile::tempdir()?;
    let mut pgbench = ground
        .program("pgbench", "bench")
        .current_dir(folder.path())
        .args([
            "-n", "-S", "-M", "prepared", "-c", "4", "-j", "1", "-l", "-T",
        ])
        .arg((pairs as u64 + 10).to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let now = || lockproof::clock::wall().as_microsecond();
    std::thread::sleep(Duration::from_secs(1));
    let mut edges = Vec::new();
    for pair in 0..pairs {
        let mut edge = [0; 2];
        for side in [pair % 2, (pair + 1) % 2] {
            let began = now();
            let watching = (side == 1)
                .then(|| Watching::start(ground, Duration::from_millis(millis)))
                .transpose()?;
            let left = SLICE.saturating_sub(Duration::from_micros((now() - began).unsigned_abs()));
            std::thread::sleep(left);
            edge[side] = now();
            if let Some(watching) = watching {
                watching.stop(ground);
            }
        }
        edges.push(edge);
    }
    pgbench.wait()?;
    let mut ends: Vec<i64> = Vec::new();
    for entry in std::fs::read_dir(folder.path())? {
        for line in std::fs::read_to_string(entry?.path())?.lines() {
            let mut words = line.split(' ').skip(4);
            if let (Some(seconds), Some(micros)) = (words.next(), words.next()) {
                ends.push(seconds.parse::<i64>()? * 1_000_000 + micros.parse::<i64>()?);
            }
        }
    }
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
        format!("the same at {millis} ms, {pairs} pairs of 0.4 s within one run of pgbench"),
        median(&ratios),
        format!("{:.3} ± {deviation:.3}", median(&ratios)),
        if millis == 2 {
            Bar::AtLeast(0.97)
        } else {
            Bar::Info
        },
    );
    Ok(())
}

fn pairs_at(ground: &Ground, table: &mut Table, millis: u64, pairs: usize, bar: Bar) -> Outcome {
    let seconds = setting("SECONDS", 6);
    let cores = std::thread::available_parallelism()?;
    let (mut ratios, mut ours, mut theirs) = (vec![], vec![], vec![]);
    for pair in 0..pairs {
        let mut tps = [0.0; 2];
        for side in [pair % 2, (pair + 1) % 2] {
            if side == 0 {
                tps[0] = throughput(ground, seconds)?;
            } else {
                let watching = Watching::start(ground, Duration::from_millis(millis))?;
                let clock = Clock::start();
                let before = watching.cpu();
                tps[1] = throughput(ground, seconds)?;
                let after = watching.cpu();
                let elapsed = clock.now().0 as f64;
                ours.push((after.0 - before.0) / elapsed);
                theirs.push((after.1 - before.1) / elapsed);
                watching.stop(ground);
            }
        }
        ratios.push(tps[1] / tps[0]);
    }
    table.add(
        format!(
            "throughput with the sampler at {millis} ms ÷ without ({pairs} pairs of {seconds} s)"
        ),
        median(&ratios),
        format!(
            "{}  (its thread {:.1} %, its server process {:.1} % of a core; {:.1} % of all {cores})",
            spread(&ratios),
            median(&ours) * 100.0,
            median(&theirs) * 100.0,
            (median(&ours) + median(&theirs)) * 100.0 / cores.get() as f64
        ),
        bar,
    );
    Ok(())
}

/// Transactions a second.
fn throughput(ground: &Ground, seconds: u64) -> Outcome<f64> {
    let output = ground
        .program("pgbench", "bench")
        .args(["-n", "-S", "-M", "prepared", "-c", "4", "-j", "1", "-T"])
        .arg(seconds.to_string())
        .stderr(std::process::Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("tps = ")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .ok_or_else(|| format!("pgbench told no tps: {text}").into())
}

struct Watching {
    sampler: Sampler,
    thread: String,
    process: String,
}

impl Watching {
    fn start(ground: &Ground, interval: Duration) -> Outcome<Self> {
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
            pace: Pace::new(
                Cadence::Fixed,
                interval,
                vec![LockMode::AccessExclusiveLock],
            ),
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

    fn cpu(&self) -> (f64, f64) {
        let of = |task| on_cpu(task).unwrap_or(f64::NAN);
        (of(&self.thread), of(&self.process))
    }

    fn stop(self, ground: &Ground) {
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

/// What a sample allocates beyond what the driver does for the same query.
fn allocations(ground: &Ground, table: &mut Table) -> Outcome {
    const SAMPLES: u64 = 2_000;
    let watching = Watching::start(ground, Duration::from_secs(1))?;
    let sync = |samples: u64| -> Outcome<f64> {
        let before = alloc::count();
        for _ in 0..samples {
            ground.wait(watching.sampler.sync())?;
        }
        Ok((alloc::count() - before) as f64 / samples as f64)
    };
    sync(200)?;
    let idle = sync(SAMPLES)?;
    // Each `sync` makes a channel for its answer, on this side.
    let asking = {
        let before = alloc::count();
        for _ in 0..SAMPLES {
            let (answer, answered) = tokio::sync::oneshot::channel::<()>();
            let _ = answer.send(());
            let _ = ground.wait(answered);
        }
        (alloc::count() - before) as f64 / SAMPLES as f64
    };
    let held = ground.wait(async {
        let (client, connection) = ground
            .endpoint()
            .config("lockproof bench")
            .connect(tokio_postgres::NoTls)
            .await?;
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE held (a int)").await?;
        Ok::<_, tokio_postgres::Error>(client)
    })?;
    // The rest of the world counts, too: the locking session's own allocations are measured alone.
    let toggles = |with: bool| -> Outcome<f64> {
        let before = alloc::count();
        for _ in 0..200 {
            for sql in ["BEGIN; LOCK TABLE held", "COMMIT"] {
                ground.wait(held.batch_execute(sql))?;
                if with {
                    ground.wait(watching.sampler.sync())?;
                }
            }
        }
        Ok((alloc::count() - before) as f64 / 400.0)
    };
    toggles(true)?;
    let changed = toggles(true)? - toggles(false)?;
    watching.stop(ground);
    let (bare, bare_row) = (driver(ground, 0)?, driver(ground, 1)?);
    table.add(
        "allocations of our own in an idle sample",
        idle - asking - bare,
        format!("{:.2}  (driver: {bare:.1})", idle - asking - bare),
        Bar::AtMost(0.05),
    );
    table.info(
        "allocations of a sample that shows a change, half of them with a row",
        format!(
            "{:.1}  (driver: {:.1})",
            changed - asking,
            f64::midpoint(bare, bare_row)
        ),
    );
    Ok(())
}

/// What the driver allocates for such a query with so many rows.
fn driver(ground: &Ground, rows: i64) -> Outcome<f64> {
    const SAMPLES: u64 = 2_000;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, connection) =
            ground.endpoint().config("lockproof bench").connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let statement = client
            .prepare("SELECT 1, 2::oid, 'a'::text, true, '3/4'::text FROM generate_series(1, $1::bigint)")
            .await?;
        let mut before = 0;
        for number in 0..SAMPLES + 200 {
            if number == 200 {
                before = alloc::count();
            }
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&rows];
            let answer = client.query_raw(&statement, parameters).await?;
            futures_util::pin_mut!(answer);
            while let Some(row) = answer.try_next().await? {
                std::hint::black_box(row.get::<_, &str>(2));
            }
        }
        Ok((alloc::count() - before) as f64 / SAMPLES as f64)
    })
}
