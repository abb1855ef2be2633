//! The memory that an hour at 1 ms takes, and what its recording costs afterwards. Each course runs in
//! a process of its own, through the conductor that a run uses.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::process::{Command, Stdio};
use std::time::Duration;

use lockproof::analyse::Analyst;
use lockproof::clock::{Clock, Mono};
use lockproof::plan::Policy;
use lockproof::recording::read::Reader;
use lockproof::recording::write::Writer;
use lockproof::report::build;
use lockproof::run::Conductor;

use crate::Outcome;
use crate::numbers::peak_mib;
use crate::synthetic::{self, Course};
use crate::table::{Bar, Table};

/// Names the course to a child process.
pub const CHILD: &str = "LOCKPROOF_BENCH_CHILD";
const HOUR: u64 = 3_600_000;

const COURSES: [(&str, Course, &str); 5] = [
    ("idle", Course::Idle, "idle"),
    (
        "program",
        Course::Program(100),
        "a program's lock every 100 ms",
    ),
    (
        "statements",
        Course::Statements(100),
        "a statement's lock every 100 ms",
    ),
    ("batches", Course::Batches(20_000), "20,000 batches"),
    (
        "tables",
        Course::Tables(2_000),
        "2,000 tables altered in one transaction",
    ),
];

/// The child: an hour of events through the conductor, as a run pushes them; prints its peak.
pub fn child(case: &str) -> Outcome {
    let (name, path) = case.split_once(' ').ok_or("a course and a file")?;
    let (_, course, _) = COURSES
        .into_iter()
        .find(|(id, ..)| *id == name)
        .ok_or("a course")?;
    let sink = Box::new(BufWriter::new(File::create(path)?));
    let header = synthetic::header(course);
    let policy = Policy::default();
    let conductor = Conductor::start(header, policy.clone(), Some(sink))?;
    synthetic::tell(course, HOUR, |event| conductor.tell(event));
    let (timeline, written) = conductor.finish()?;
    written?;
    let judgement = lockproof::judge::judge(&timeline, &policy);
    let report = build::build(&timeline, &judgement, &policy);
    let peak = peak_mib("self").unwrap_or(f64::NAN);
    serde_json::to_writer_pretty(std::io::sink(), &report)?;
    println!("{peak} {}", peak_mib("self").unwrap_or(f64::NAN));
    Ok(())
}

pub fn run(table: &mut Table) -> Outcome {
    let folder = tempfile::tempdir()?;
    for (name, _, what) in COURSES {
        let path = folder.path().join(format!("{name}.jsonl"));
        let clock = Clock::start();
        let output = Command::new(std::env::current_exe()?)
            .env(CHILD, format!("{name} {}", path.display()))
            .stderr(Stdio::inherit())
            .output()?;
        let took = clock.now().since(Mono(0));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let (peak, with_json) = told
            .trim()
            .split_once(' ')
            .ok_or("the child told nothing")?;
        let peak: f64 = peak.parse()?;
        table.add(
            format!("peak memory of an hour at 1 ms: {what}"),
            peak,
            format!(
                "{peak:.1} MiB  ({with_json:.4} with --json; all of it in {:.1} s)",
                took.as_secs_f64()
            ),
            Bar::AtMost(64.0),
        );
        let clock = Clock::start();
        let mut judging = Command::new(env!("CARGO_BIN_EXE_lockproof"))
            .arg("judge")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut most: f64 = 0.0;
        while judging.try_wait()?.is_none() {
            most = most.max(peak_mib(&judging.id().to_string()).unwrap_or(0.0));
            std::thread::sleep(Duration::from_millis(2));
        }
        let took = clock.now().since(Mono(0));
        let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
        table.add(
            "  its recording, and `lockproof judge` on it",
            megabytes,
            format!(
                "{megabytes:.1} MB, {:.2} s, {most:.0} MiB",
                took.as_secs_f64()
            ),
            Bar::AtMost(100.0),
        );
    }
    Ok(())
}

/// A million samples, read and analysed in this process.
pub fn analysis(table: &mut Table) -> Outcome {
    const SAMPLES: u64 = 1_000_000;
    for (course, what) in [
        (Course::Idle, "nothing happens"),
        (Course::Program(100), "a program's lock every 100 samples"),
        (Course::Program(10), "a program's lock every 10 samples"),
        (
            Course::Statements(10),
            "a statement's lock every 10 samples",
        ),
        (Course::Batches(20_000), "20,000 batches"),
    ] {
        let mut lines = Vec::new();
        let mut writer = Writer::new(&mut lines, &synthetic::header(course))?;
        let mut failed = Ok(());
        synthetic::tell(course, SAMPLES, |event| {
            if failed.is_ok() {
                failed = writer.append(&event);
            }
        });
        failed?;
        let clock = Clock::start();
        let mut reader = Reader::new(BufReader::new(lines.as_slice()), "made up")?;
        let mut analyst = Analyst::new(reader.header().clone());
        for event in reader.by_ref() {
            analyst.push(event?);
        }
        let read = clock.now();
        let timeline = analyst.finish();
        let policy = Policy::default();
        let judgement = lockproof::judge::judge(&timeline, &policy);
        let report = build::build(&timeline, &judgement, &policy);
        std::hint::black_box(&report);
        let took = clock.now();
        table.add(
            format!("analysis of 1,000,000 samples: {what}"),
            took.since(Mono(0)).as_secs_f64(),
            format!(
                "{:.2} s  (reading and analysis {:.2} s, judging and the report {:.2} s)",
                took.since(Mono(0)).as_secs_f64(),
                read.since(Mono(0)).as_secs_f64(),
                took.since(read).as_secs_f64()
            ),
            Bar::AtMost(1.0),
        );
    }
    Ok(())
}
