//! From the command to its first step, on a snapshot that is restored already, and where that goes: by
//! the phases that `-v` tells.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use lockproof::clock::{Clock, Mono};

use crate::Outcome;
use crate::numbers::{median, setting};
use crate::table::Table;

pub fn run(table: &mut Table) -> Outcome {
    let rows: u64 = setting("ROWS", 1_000_000);
    let folder = tempfile::tempdir()?;
    let step = folder.path().join("step.sql");
    std::fs::write(&step, "SELECT 1;\n")?;
    let mut stages = vec![("local", None)];
    stages.extend(image().map(|image| ("docker", Some(image))));
    for (stage, image) in stages {
        // The first restores it where it is not there yet.
        once(stage, image.as_deref(), rows, &step)?;
        let runs: Vec<Vec<(String, f64)>> = (0..setting("PAIRS", 5))
            .map(|_| once(stage, image.as_deref(), rows, &step))
            .collect::<Outcome<_>>()?;
        let whole: Vec<f64> = runs
            .iter()
            .map(|run| run.iter().map(|(_, took)| took).sum())
            .collect();
        table.info(
            format!("command to first step, {stage}, {rows} rows restored"),
            format!("{:.0} ms", median(&whole)),
        );
        for (number, (phase, _)) in runs[0].iter().enumerate() {
            let took: Vec<f64> = runs
                .iter()
                .filter_map(|run| run.get(number).map(|(_, took)| *took))
                .collect();
            table.info(format!("  {phase}"), format!("{:.0} ms", median(&took)));
        }
    }
    Ok(())
}

/// An image for container stages; None: there is no engine, or none of ours on it.
pub fn image() -> Option<String> {
    ["17", "15"]
        .map(|major| format!("lockproof/postgres:{major}"))
        .into_iter()
        .find(|image| {
            Command::new("docker")
                .args(["image", "inspect", image])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
}

fn once(stage: &str, image: Option<&str>, rows: u64, step: &Path) -> Outcome<Vec<(String, f64)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
    command
        .args(["-v", "run", "--stage", stage, "--snapshot"])
        .arg(root.join("snapshots/listings"))
        .args(["--var", &format!("rows={rows}")])
        .args(image.iter().flat_map(|image| ["--image", image]))
        .arg(step);
    phases(command)
}

/// Each phase of a run that tells them (`-v`) with its milliseconds, up to the first step.
pub fn phases(mut command: Command) -> Outcome<Vec<(String, f64)>> {
    let clock = Clock::start();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut phases = Vec::new();
    let mut phase = "beginning".to_owned();
    let mut since = Mono(0);
    let mut told = String::new();
    for line in BufReader::new(child.stderr.take().ok_or("no standard error")?).lines() {
        let line = line?;
        told = format!("{told}\n{line}");
        let now = clock.now();
        let next = if line.starts_with("step 1 of") {
            String::new()
        } else {
            line
        };
        if !phase.is_empty() {
            phases.push((phase, now.since(since).as_secs_f64() * 1_000.0));
        }
        (phase, since) = (next, now);
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("{command:?}: {status}{told}").into());
    }
    Ok(phases)
}
