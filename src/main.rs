//! The command: parse, run, print the error once, exit code.

mod commands;
mod signals;
mod terminal;

use std::process::ExitCode;

use lockproof::cli::{Cli, Command};
use lockproof::{config, keeper};

use crate::terminal::Screen;

fn main() -> ExitCode {
    if let Some(status) = keeper::begin() {
        return ExitCode::from(status);
    }
    let cli = match commands::typed::read() {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code.number()),
    };
    let screen = Screen::new(&cli.terminal);
    // One thread: with workers, each reply of the server wakes one of them, which wakes this one, and a
    // small statement takes as long as the two switches.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| lockproof::Error::defect("cannot start the runtime").because(error))
        .and_then(|runtime| runtime.block_on(command(&cli, &screen)));
    let code = match ended {
        Ok(code) => code,
        Err(error) => {
            screen.error(&error);
            error.exit_code()
        }
    };
    ExitCode::from(code.number())
}

async fn command(cli: &Cli, screen: &Screen) -> lockproof::Result<lockproof::exit_code::ExitCode> {
    match &cli.command {
        Command::Run(arguments) => commands::run::run(config::plan_all(arguments)?, screen).await,
        Command::Judge(arguments) => commands::judge::judge(arguments, screen),
        Command::Compare(arguments) => {
            commands::compare::run(&config::compare::plan(arguments)?, screen)
        }
        Command::Snapshot(command) => commands::snapshot::snapshot(command, screen).await,
        Command::Clean(arguments) => commands::clean::clean(arguments, screen).await,
        Command::Doctor(arguments) => commands::doctor::doctor(arguments, screen).await,
        Command::Completions(arguments) => commands::documents::completions(arguments),
        Command::Man => commands::documents::man(),
    }
}
