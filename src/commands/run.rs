//! `lockproof run`: the gate.

use std::path::Path;

use lockproof::config::Planned;
use lockproof::exit_code::ExitCode;
use lockproof::{Result, cli, run as library};

use super::output::{Target, show};
use crate::signals;
use crate::terminal::Screen;

/// Replays, judges, prints.
pub async fn run(planned: Planned, arguments: &cli::Run, screen: &Screen) -> Result<ExitCode> {
    let open = |path: &Option<std::path::PathBuf>| path.as_deref().map(Target::open).transpose();
    let json = open(&arguments.json)?;
    let recording = open(&arguments.record)?;
    let standard_is_taken = arguments.record.as_deref() == Some(Path::new("-"));
    let interrupt = signals::listen()?;
    for note in &planned.notes {
        screen.say(note);
    }
    let finished = library::run(
        &planned.plan,
        &planned.notes,
        screen,
        &interrupt,
        recording.map(Target::sink),
    )
    .await?;
    let code = show(
        &finished.report,
        &planned.plan.policy,
        json,
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
