//! `pgbench -S` as the clients that the observer may disturb.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Outcome;
use crate::ground::Ground;

/// What its clients got.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Transactions a second.
    pub rate: f64,
    /// The 99th percentile of their latency, in milliseconds.
    pub p99: f64,
}

/// Makes its tables.
pub fn prepare(ground: &Ground) -> Outcome {
    let status = ground
        .program("pgbench", "bench")
        .args(["-i", "-q", "-s", "10"])
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("pgbench -i: {status}").into());
    }
    Ok(())
}

/// Runs it for so long.
pub fn serve(ground: &Ground, seconds: u64) -> Outcome<Service> {
    let folder = tempfile::tempdir()?;
    let status = command(ground, folder.path(), seconds).status()?;
    if !status.success() {
        return Err(format!("pgbench: {status}").into());
    }
    let log = read(folder.path())?;
    let mut latencies: Vec<f64> = log.iter().map(|(_, latency)| *latency).collect();
    latencies.sort_by(f64::total_cmp);
    Ok(Service {
        rate: log.len() as f64 / seconds as f64,
        p99: latencies
            .get(latencies.len() * 99 / 100)
            .copied()
            .unwrap_or(f64::NAN)
            / 1e3,
    })
}

/// Starts it for so long; its log goes into `folder`.
pub fn start(ground: &Ground, folder: &Path, seconds: u64) -> Outcome<Child> {
    Ok(command(ground, folder, seconds).spawn()?)
}

fn command(ground: &Ground, folder: &Path, seconds: u64) -> Command {
    let mut command = ground.program("pgbench", "bench");
    command
        .current_dir(folder)
        .args([
            "-n", "-S", "-M", "prepared", "-c", "4", "-j", "1", "-l", "-T",
        ])
        .arg(seconds.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Each transaction's end and its latency, in microseconds, from the log.
pub fn read(folder: &Path) -> Outcome<Vec<(i64, f64)>> {
    let mut log = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        for line in std::fs::read_to_string(entry?.path())?.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if let [_, _, latency, _, seconds, micros, ..] = words[..] {
                let end = seconds.parse::<i64>()? * 1_000_000 + micros.parse::<i64>()?;
                log.push((end, latency.parse()?));
            }
        }
    }
    Ok(log)
}
