//! `lockproof snapshot create`: reads a server into a snapshot and restores it.

use lockproof::cli::SnapshotCreate;
use lockproof::config::create::creation;
use lockproof::exit_code::ExitCode;
use lockproof::snapshot::create::{self, Restore};
use lockproof::{Result, run};

use crate::signals;
use crate::terminal::Screen;

/// Makes it; a snapshot that is made stays, also where it cannot be restored here.
pub async fn create(arguments: &SnapshotCreate, screen: &Screen) -> Result<ExitCode> {
    let creation = creation(arguments)?;
    for note in &creation.notes {
        screen.say(note);
    }
    let interrupt = signals::listen()?;
    let run_id = run::run_id();
    let snapshot = create::create(
        &creation.asked,
        &creation.stage,
        &run_id,
        screen,
        &interrupt,
    )
    .await?;
    if creation.asked.restore != Restore::Later {
        run::restore(&snapshot, &creation.stage, &run_id, screen, &interrupt).await?;
        screen.say("restored it: the next run on it begins at once");
    }
    screen.finish();
    screen.say(&format!(
        "run on it:  lockproof run --snapshot {} PATH",
        snapshot.folder.display()
    ));
    Ok(ExitCode::Within)
}
