//! `lockproof judge`: the same report from a recording, without a database.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use lockproof::analyse::{Analyst, Timeline};
use lockproof::exit_code::ExitCode;
use lockproof::recording::read::Reader;
use lockproof::report::build;
use lockproof::{Error, Result, cli, config, judge as judging, redact};

use super::faces::Faces;
use super::output::show;
use crate::terminal::Screen;

/// Reads, judges, prints.
pub fn judge(arguments: &cli::Judge, screen: &Screen) -> Result<ExitCode> {
    let timeline = timeline(&arguments.recording)?;
    let header = &timeline.header;
    let outputs = config::written_by(arguments, &header.scenario.name)?;
    let faces = Faces::open(&outputs)?;
    let policy = config::judged_by(arguments, &header.policy, header.traffic.is_some())?;
    let judgement = judging::judge(&timeline, &policy);
    let report = build::build(&timeline, &judgement, &policy);
    let code = show(&report, &policy, faces, false, screen)?;
    // As the run ended: a lost stage is no failure of the migration.
    match timeline.stage_lost {
        Some(message) => Err(Error::stage(message)),
        None => Ok(code),
    }
}

/// All that a recording tells.
pub fn timeline(recording: &Path) -> Result<Timeline> {
    let mut reader = Reader::new(open(recording)?, &recording.display().to_string())?;
    // Who wrote it is not known: what a terminal would obey is not taken from it either.
    let header = redact::event::header(reader.header().clone());
    let literals = header.literals;
    let mut analyst = Analyst::new(header);
    for event in reader.by_ref() {
        analyst.push(redact::event::event(event?, literals));
    }
    Ok(analyst.finish())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = File::open(path).map_err(|error| {
        Error::usage(format!("the recording `{}` cannot be read", path.display())).because(error)
    })?;
    Ok(Box::new(BufReader::new(file)))
}
