//! Whether traffic comes at the rate that was asked for, beside `pgbench -R` with the same script on the same server.

use std::process::Stdio;
use std::time::Duration;

use lockproof::clock::Clock;
use lockproof::plan::{Arrivals, Load};

use crate::ground::Ground;
use crate::numbers::{median, on_cpu, setting, spread};
use crate::requests::{SCRIPT, Told, start};
use crate::table::{Bar, Table};
use crate::{Outcome, pgbench};

const POOL: u32 = 20;

/// What clients got.
struct Got {
    /// Requests answered a second.
    rate: f64,
    p50: f64,
    p99: f64,
    /// Processors that the program used.
    cpus: f64,
}

pub fn run(table: &mut Table) -> Outcome {
    let ground = Ground::start()?;
    pgbench::prepare(&ground)?;
    let rate: f64 = setting("RATE", 2000.0);
    let seconds: u64 = setting("SECONDS", 10);
    let pairs: usize = setting("PAIRS", 3);
    pgbench::serve(&ground, 1)?;
    let (mut ours, mut theirs, mut off, mut lateness) = (vec![], vec![], vec![], vec![]);
    for pair in 0..pairs {
        for side in [pair % 2, (pair + 1) % 2] {
            if side == 0 {
                theirs.push(throttled(&ground, rate, seconds)?);
                continue;
            }
            // The rate, where chance has no part in it; then latencies, as pgbench draws arrivals.
            let (even, _) = traffic(&ground, rate, Arrivals::Uniform, seconds)?;
            off.push((even.rate / rate - 1.0).abs());
            let (got, told) = traffic(&ground, rate, Arrivals::Poisson, seconds)?;
            ours.push(got);
            lateness.extend(told.summary.map(|summary| summary.lateness));
        }
    }
    let of =
        |got: &[Got], figure: fn(&Got) -> f64| spread(&got.iter().map(figure).collect::<Vec<_>>());
    table.add(
        format!("traffic of {rate}/s, evenly spaced: off the rate ({pairs} × {seconds} s)"),
        median(&off),
        format!("{:.3} %", 100.0 * median(&off)),
        Bar::AtMost(0.01),
    );
    for (name, got) in [("traffic", &ours), ("pgbench -R", &theirs)] {
        table.info(
            format!("{name}: requests answered a second"),
            of(got, |got| got.rate),
        );
        table.info(format!("{name}: latency p50, ms"), of(got, |got| got.p50));
        table.info(format!("{name}: latency p99, ms"), of(got, |got| got.p99));
        table.info(format!("{name}: processors"), of(got, |got| got.cpus));
    }
    let millis = |figure: fn(&lockproof::recording::format::Quantiles) -> Duration| {
        let all: Vec<f64> = lateness
            .iter()
            .map(|late| figure(late).as_secs_f64() * 1e3)
            .collect();
        spread(&all)
    };
    table.info("traffic: due to begun p50, ms", millis(|late| late.p50));
    table.info("traffic: due to begun p99, ms", millis(|late| late.p99));
    ground.stop()
}

fn traffic(ground: &Ground, rate: f64, arrivals: Arrivals, seconds: u64) -> Outcome<(Got, Told)> {
    let load = Load::Open { rate, arrivals };
    let (generator, events) = start(ground, load, POOL, Clock::start())?;
    std::thread::sleep(Duration::from_secs(seconds));
    ground.wait(generator.stop());
    let told = Told::of(events);
    let summary = told.summary.clone().ok_or("traffic did not end")?;
    if let Some(error) = summary.error {
        return Err(error.into());
    }
    let ran = summary.ran.as_secs_f64();
    let got = Got {
        rate: told.ended() as f64 / ran,
        p50: told.quantile(0.5),
        p99: told.quantile(0.99),
        cpus: summary.cpu.as_secs_f64() / ran,
    };
    Ok((got, told))
}

fn throttled(ground: &Ground, rate: f64, seconds: u64) -> Outcome<Got> {
    let folder = tempfile::tempdir()?;
    let script = ground.folder.path().join("read.sql");
    std::fs::write(&script, SCRIPT)?;
    let mut child = ground
        .program("pgbench", "bench")
        .current_dir(folder.path())
        .args(["-n", "-M", "prepared", "-j", "1", "-l", "-c"])
        .arg(POOL.to_string())
        .args(["-R", &rate.to_string(), "-T", &seconds.to_string(), "-f"])
        .arg(&script)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // With one job all of it is in the first thread; just before it ends.
    std::thread::sleep(Duration::from_millis(seconds * 1000 - 300));
    let cpu = on_cpu(&format!("/proc/{}", child.id())).unwrap_or(f64::NAN);
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("pgbench -R: {status}").into());
    }
    let log = pgbench::read(folder.path())?;
    let mut latencies: Vec<f64> = log.iter().map(|(_, latency)| latency / 1e3).collect();
    latencies.sort_by(f64::total_cmp);
    let quantile = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    Ok(Got {
        rate: log.len() as f64 / seconds as f64,
        p50: quantile(50).unwrap_or(f64::NAN),
        p99: quantile(99).unwrap_or(f64::NAN),
        cpus: cpu / 1e9 / (seconds as f64 - 0.3),
    })
}
