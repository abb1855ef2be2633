//! `lockproof snapshot`: a file for each of its subcommands.

mod create;

use lockproof::Result;
use lockproof::cli::SnapshotCommand;
use lockproof::exit_code::ExitCode;

use crate::terminal::Screen;

/// Does what was asked for.
pub async fn snapshot(command: &SnapshotCommand, screen: &Screen) -> Result<ExitCode> {
    match command {
        SnapshotCommand::Create(arguments) => create::create(arguments, screen).await,
    }
}
