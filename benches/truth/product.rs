//! Runs lockproof as its users do, and reads back what it says.
//!
//! The server belongs to the bench and is given as `--stage postgres://…`: so the probes can be attached
//! before the run begins, others can hold locks in its way, and pgbench can work beside it. It was brought
//! up by lockproof's own stages, so it is the server that a user would have got.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use lockproof::analyse::{Analyst, StepFacts};
use lockproof::recording::read::Reader;
use serde_json::Value;

use crate::Outcome;
use crate::cases::{Case, Work};
use crate::ground::Ground;
use crate::server::DATABASE;

/// What lockproof says of a run.
pub struct Told {
    /// By place in the run: the verdict, and what was seen.
    pub steps: Vec<(String, StepFacts)>,
    /// The recording.
    pub recording: PathBuf,
}

/// Runs the cases as one scenario.
pub fn run(ground: &Ground, cases: &[Case]) -> Outcome<Told> {
    let folder = ground.folder.path().join("scenario");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let mut scenario = String::from("name = \"truth\"\n");
    for (index, case) in cases.iter().enumerate() {
        write!(scenario, "[[steps]]\nname = \"{}\"\n", name(index, case))?;
        match &case.work {
            Work::Sql {
                wrap,
                script,
                impatient,
            } => {
                writeln!(scenario, "wrap = \"{wrap}\"\nsql = '''\n{script}'''")?;
                if *impatient {
                    scenario += "lock_timeout = \"15ms\"\n\
                                 retry = { attempts = 20, backoff = \"1ms\" }\n";
                }
            }
            Work::Batch(statement) => writeln!(
                scenario,
                "kind = \"batch\"\nbatch_size = 1\nafter = \"0\"\nsql = '''{statement}'''"
            )?,
            Work::Psql(script) => {
                let file = folder.join(format!("{index}.psql"));
                fs::write(&file, script)?;
                scenario += &psql(ground, &["-f", &file.display().to_string()]);
            }
            Work::PsqlAtOnce(script) => scenario += &psql(ground, &["-c", script]),
        }
    }
    fs::write(folder.join("scenario.toml"), scenario)?;
    let recording = ground.folder.path().join("recording.jsonl");
    let report = ground.folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_lockproof"))
        .arg("run")
        .arg(&folder)
        // One pass, so that what is unproven is said to be.
        .args([
            "--allow-unproven",
            "--replays",
            "1",
            "--confirm-external",
            DATABASE,
        ])
        .arg("--json")
        .arg(&report)
        .arg("--record")
        .arg(&recording)
        .env(
            "LOCKPROOF_STAGE",
            ground.endpoint().in_database(DATABASE).url().reveal(),
        )
        .stdin(Stdio::null())
        .output()?;
    // 1: a budget was exceeded.
    if !matches!(output.status.code(), Some(0 | 1)) {
        return Err(format!(
            "lockproof: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let verdicts = verdicts(&report)?;
    let steps = facts(&recording)?
        .into_iter()
        .map(|facts| {
            let case = cases.get(facts.step).ok_or("a step too many")?;
            let verdict = verdicts
                .get(&name(facts.step, case))
                .ok_or("a step without verdict")?;
            Ok((verdict.clone(), facts))
        })
        .collect::<Outcome<Vec<_>>>()?;
    if steps.len() != cases.len() {
        return Err(format!("{} steps of {} were run", steps.len(), cases.len()).into());
    }
    Ok(Told { steps, recording })
}

fn name(index: usize, case: &Case) -> String {
    format!("{index} {}", case.way.name())
}

fn psql(ground: &Ground, args: &[&str]) -> String {
    let program = ground.program("psql", DATABASE);
    let program = program.get_program().to_string_lossy().into_owned();
    let words = [&program, "-X", "-q", "-v", "ON_ERROR_STOP=1"];
    let words: Vec<Value> = words
        .iter()
        .chain(args)
        .map(|word| Value::from(*word))
        .collect();
    // A list of strings is written alike in JSON and in TOML.
    format!("run = {}\n", Value::from(words))
}

/// Verdicts as the report has them, by step.
fn verdicts(report: &PathBuf) -> Outcome<BTreeMap<String, String>> {
    let report: Value = serde_json::from_slice(&fs::read(report)?)?;
    let steps = report["steps"].as_array().ok_or("a report without steps")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(steps
        .iter()
        .map(|step| (text(&step["name"]), text(&step["verdict"])))
        .collect())
}

/// What the recording says, in nanoseconds. The report rounds the same bounds to microseconds,
/// outwards, so what is contained here is contained there.
fn facts(recording: &PathBuf) -> Outcome<Vec<StepFacts>> {
    let file = BufReader::new(File::open(recording)?);
    let mut reader = Reader::new(file, &recording.display().to_string())?;
    let mut analyst = Analyst::new(reader.header().clone());
    for event in reader.by_ref() {
        analyst.push(event?);
    }
    let replays = analyst.finish().replays;
    match <[_; 1]>::try_from(replays) {
        Ok([replay]) => Ok(replay.steps),
        Err(replays) => Err(format!("{} replays instead of one", replays.len()).into()),
    }
}
