//! `lockproof run`: the gate.

use lockproof::config::several::Several;
use lockproof::config::{Output, Planned};
use lockproof::exit_code::ExitCode;
use lockproof::{Result, run as library};

use super::faces::Faces;
use super::output::{Target, show};
use super::several;
use crate::signals;
use crate::terminal::Screen;

/// Replays, judges, prints; one scenario, or several.
pub async fn run(planned: Several, screen: &Screen) -> Result<ExitCode> {
    match planned.scenarios.as_slice() {
        [only] => one(&only.planned, screen).await,
        _ => several::run(&planned, screen),
    }
}

async fn one(planned: &Planned, screen: &Screen) -> Result<ExitCode> {
    let faces = Faces::open(&planned.outputs)?;
    let recording = planned
        .outputs
        .record
        .as_ref()
        .map(Target::open)
        .transpose()?
        .map(Target::sink);
    let standard_is_taken = planned.outputs.record == Some(Output::Stdout);
    let interrupt = signals::listen()?;
    for note in &planned.notes {
        screen.say(note);
    }
    let ran = library::run(&planned.plan, &planned.notes, screen, &interrupt, recording).await;
    let finished = ran.inspect_err(|_| {
        for note in faces.earlier() {
            screen.say(&note);
        }
    })?;
    let code = show(
        &finished.report,
        &planned.plan.policy,
        faces,
        standard_is_taken,
        screen,
    )?;
    if let Some(kept) = &finished.kept {
        screen.say(kept);
    }
    match finished.trouble {
        Some(error) => Err(error),
        None => Ok(code),
    }
}
