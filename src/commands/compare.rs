//! `lockproof compare`: several scenarios, one after the other, side by side.

use std::path::PathBuf;

use lockproof::config::compare::{Compared, Of};
use lockproof::config::several::Several;
use lockproof::exit_code::ExitCode;
use lockproof::judge::{self, Verdict};
use lockproof::recording::traffic::TrafficHeader;
use lockproof::report::compare::{compare, render};
use lockproof::report::{Report, build, html};
use lockproof::run::{self as library, Job};
use lockproof::stage::Watch;
use lockproof::{Error, Result};

use super::judge::timeline;
use super::named::Named;
use super::output::{Target, show_text, tell_failures};
use crate::signals;
use crate::terminal::Screen;

/// Lays them side by side, after they were run unless they are recordings.
pub fn run(compared: &Compared, screen: &Screen) -> Result<ExitCode> {
    let json = compared.json.as_ref().map(Target::open).transpose()?;
    let html = compared.html.as_ref().map(Target::open).transpose()?;
    let (reports, errors) = match &compared.of {
        Of::Scenarios(several) => ran(several, screen)?,
        Of::Recordings(files) => (read(files)?, Vec::new()),
    };
    for report in &reports {
        tell_failures(report, screen);
    }
    let mut codes: Vec<ExitCode> = errors.iter().map(Error::exit_code).collect();
    // A budget that was broken is what is compared; a migration that does not run has nothing to show.
    let failed = |report: &Report| report.verdict == Verdict::Failed;
    codes.extend(reports.iter().any(failed).then_some(ExitCode::Failed));
    // Without one of them, the others have nothing to be compared with.
    if errors.is_empty() {
        let comparison = compare(reports);
        let standard = |target: &Option<Target>| matches!(target, Some(Target::Standard));
        let standard_is_taken = standard(&json) || standard(&html);
        show_text(
            |palette| render(&comparison, palette),
            standard_is_taken,
            screen,
        )?;
        if let Some(json) = json {
            json.write(|sink| {
                serde_json::to_writer_pretty(&mut *sink, &comparison)?;
                sink.write_all(b"\n")
            })?;
        }
        if let Some(file) = html {
            let page = html::compare(&comparison)
                .map_err(|error| Error::defect("the page cannot be made").because(error))?;
            file.write_text(&page)?;
        }
    }
    for error in errors {
        screen.error(&error);
    }
    Ok(ExitCode::worst(codes))
}

/// Runs them one at a time: a neighbour would be part of what is compared.
fn ran(several: &Several, screen: &Screen) -> Result<(Vec<Report>, Vec<Error>)> {
    let watches: Vec<Named> = several
        .scenarios
        .iter()
        .map(|scenario| Named::on(screen, &scenario.label))
        .collect();
    let mut jobs = Vec::new();
    for (scenario, watch) in several.scenarios.iter().zip(&watches) {
        let planned = &scenario.planned;
        let recording = planned.outputs.record.as_ref();
        jobs.push(Job {
            plan: &planned.plan,
            notes: &planned.notes,
            watch,
            recording: recording.map(Target::open).transpose()?.map(Target::sink),
        });
    }
    let interrupt = signals::listen()?;
    for (scenario, watch) in several.scenarios.iter().zip(&watches) {
        for note in &scenario.planned.notes {
            watch.note(note);
        }
    }
    let mut reports = Vec::new();
    let mut errors = Vec::new();
    library::many(jobs, 1, &interrupt, |one| {
        watches[one.job].finish();
        let label = &several.scenarios[one.job].label;
        match one.outcome {
            Ok(finished) => {
                errors.extend(finished.trouble.map(|error| error.about(label)));
                reports.push(finished.report);
            }
            Err(error) => errors.push(error.about(label)),
        }
    });
    screen.finish();
    Ok((reports, errors))
}

/// Judges them again, each by the budgets of its own run.
fn read(files: &[PathBuf]) -> Result<Vec<Report>> {
    let mut reports: Vec<Report> = Vec::new();
    let mut traffic: Option<Option<TrafficHeader>> = None;
    for file in files {
        let timeline = timeline(file)?;
        let first = traffic.get_or_insert_with(|| timeline.header.traffic.clone());
        if *first != timeline.header.traffic {
            return Err(Error::usage(format!(
                "`{}` and `{}` are no comparison: different traffic ran beside them",
                files[0].display(),
                file.display()
            ))
            .help("record both beside the same traffic: `--traffic FILE`, with the same `--rate` and `--seed`"));
        }
        let policy = timeline.header.policy.clone();
        let judgement = judge::judge(&timeline, &policy);
        let report = build::build(&timeline, &judgement, &policy);
        let digest = |report: &Report| {
            let snapshot = report.snapshot.as_ref();
            snapshot.and_then(|snapshot| snapshot.digest.clone())
        };
        if let Some(first) = reports.first()
            && digest(first) != digest(&report)
        {
            return Err(Error::usage(format!(
                "`{}` and `{}` are no comparison: they start from different snapshots",
                files[0].display(),
                file.display()
            ))
            .help("record both from the same snapshot, with the same variables"));
        }
        reports.push(report);
    }
    Ok(reports)
}
