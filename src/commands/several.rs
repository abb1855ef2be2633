//! `lockproof run` of several scenarios: each with its own report, shown in the order in which they
//! were typed, and a last table of all.

use std::time::Duration;

use lockproof::config::Output;
use lockproof::config::several::{Scenario, Several};
use lockproof::error::Trouble;
use lockproof::exit_code::ExitCode;
use lockproof::report::summary::{self, Row};
use lockproof::report::{Report, table};
use lockproof::run::{self as library, Ended, Finished, Job};
use lockproof::stage::Watch;
use lockproof::{Error, Result, redact};

use super::faces::Faces;
use super::named::Named;
use super::output::{Target, exit_code, show_text, tell_failures};
use crate::signals;
use crate::terminal::Screen;

/// Runs them; the worst exit code.
pub fn run(several: &Several, screen: &Screen) -> Result<ExitCode> {
    let watches: Vec<Named> = several
        .scenarios
        .iter()
        .map(|scenario| Named::on(screen, &scenario.label))
        .collect();
    let mut places = Vec::new();
    let mut jobs = Vec::new();
    for (scenario, watch) in several.scenarios.iter().zip(&watches) {
        let planned = &scenario.planned;
        places.push(Place {
            scenario,
            watch,
            faces: Faces::open(&planned.outputs)?,
            told: None,
        });
        jobs.push(Job {
            plan: &planned.plan,
            notes: &planned.notes,
            watch,
            recording: match &planned.outputs.record {
                Some(output) => Some(Target::open(output)?.sink()),
                None => None,
            },
        });
    }
    let interrupt = signals::listen()?;
    for note in &several.notes {
        screen.say(note);
    }
    for place in &places {
        for note in &place.scenario.planned.notes {
            place.watch.note(note);
        }
    }
    let mut desk = Desk {
        screen,
        places,
        next: 0,
        rows: Vec::new(),
        codes: Vec::new(),
        signal: None,
    };
    library::many(jobs, several.jobs, &interrupt, |ended| desk.take(ended));
    Ok(desk.close())
}

/// Where reports are kept until it is their turn to be shown.
struct Desk<'a> {
    screen: &'a Screen,
    places: Vec<Place<'a>>,
    /// The first that was not shown yet.
    next: usize,
    rows: Vec<Row>,
    codes: Vec<ExitCode>,
    /// What ended the scenarios that did not end by themselves: told once.
    signal: Option<Error>,
}

/// A scenario's.
struct Place<'a> {
    scenario: &'a Scenario,
    watch: &'a Named,
    faces: Faces,
    told: Option<Told>,
}

/// What is to be shown of it.
struct Told {
    report: Option<Report>,
    errors: Vec<Error>,
    row: Row,
}

impl Desk<'_> {
    /// One ended: its files are written now, the rest is shown in its turn.
    fn take(&mut self, ended: Ended) {
        let Some(place) = self.places.get_mut(ended.job) else {
            return;
        };
        place.watch.finish();
        let told = match ended.outcome {
            Ok(finished) => {
                let policy = &place.scenario.planned.plan.policy;
                self.codes.push(exit_code(finished.report.verdict, policy));
                place.finished(finished, ended.took)
            }
            Err(error) => {
                for note in place.faces.earlier() {
                    place.watch.note(&note);
                }
                Told {
                    report: None,
                    row: Row::without(
                        &redact::escape_name(&place.scenario.label),
                        ended.took,
                        in_a_word(&error, ended.took),
                    ),
                    errors: vec![error],
                }
            }
        };
        self.codes
            .extend(told.errors.iter().map(|error| error.exit_code()));
        if ended.job != self.next {
            place.watch.note(&format!(
                "ended: {}; shown after those before it",
                told.row.outcome()
            ));
        }
        place.told = Some(told);
        while let Some(place) = self.places.get_mut(self.next)
            && let Some(told) = place.told.take()
        {
            let faces = place.faces.take();
            let scenario = place.scenario;
            self.show(scenario, told, faces);
            self.next += 1;
        }
    }

    fn show(&mut self, scenario: &Scenario, told: Told, faces: Faces) {
        let label = &scenario.label;
        if let Some(report) = &told.report {
            tell_failures(report, self.screen);
            let shown = self.show_text(|palette| table::render(report, palette) + "\n");
            let policy = &scenario.planned.plan.policy;
            let unwritten = self.screen.aside(|| faces.write(report, policy));
            for error in shown.err().into_iter().chain(unwritten) {
                self.codes.push(error.exit_code());
                self.screen.error(&error.about(label));
            }
        }
        for error in told.errors {
            if matches!(error.trouble(), Trouble::Signal(_)) {
                self.signal = Some(error);
            } else {
                self.screen.error(&error.about(label));
            }
        }
        self.rows.push(told.row);
    }

    /// After the last one.
    fn close(mut self) -> ExitCode {
        let rows = std::mem::take(&mut self.rows);
        if let Err(error) = self.show_text(|palette| summary::render(&rows, palette)) {
            self.codes.push(error.exit_code());
            self.screen.error(&error);
        }
        if let Some(error) = &self.signal {
            self.screen.error(error);
        }
        ExitCode::worst(self.codes)
    }

    fn show_text(&self, render: impl FnOnce(table::Palette) -> String) -> Result<()> {
        let standard_is_taken = self.places.iter().any(|place| {
            let mut outputs = place.scenario.planned.outputs.faces.values();
            outputs.any(|output| *output == Output::Stdout)
        });
        show_text(render, standard_is_taken, self.screen)
    }
}

impl Place<'_> {
    /// Writes its report, unless that goes to standard output, where it has to wait.
    fn finished(&mut self, finished: Finished, took: Option<Duration>) -> Told {
        let mut errors = Vec::new();
        let policy = &self.scenario.planned.plan.policy;
        errors.extend(self.faces.files().write(&finished.report, policy));
        errors.extend(finished.trouble);
        let mut row = Row::of(
            &redact::escape_name(&self.scenario.label),
            took,
            &finished.report,
        );
        if errors.iter().any(|error| error.trouble() == Trouble::Stage) {
            row = row.but("stage lost");
        }
        Told {
            report: Some(finished.report),
            errors,
            row,
        }
    }
}

/// Why there is no report.
fn in_a_word(error: &Error, took: Option<Duration>) -> &'static str {
    match error.trouble() {
        Trouble::Signal(_) if took.is_none() => "not begun",
        Trouble::Signal(_) => "interrupted",
        Trouble::Usage => "invalid",
        Trouble::Stage => "no stage",
        Trouble::Report => "not recorded",
        Trouble::Defect => "defect",
    }
}
