//! What was typed: read, and what is secret in it remembered before anything is said of it.

use clap::Parser;
use lockproof::cli::Cli;
use lockproof::exit_code::ExitCode;
use lockproof::redact;

use crate::terminal::{complain, shown};

/// Reads the command line; a complaint about it is told without what may not be shown.
pub fn read() -> Result<Cli, ExitCode> {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    redact::learn_arguments(&words);
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    redact::learn_environment(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))));
    Cli::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // Help that was asked for.
            error.exit();
        }
        complain(shown(&error.render().to_string()).trim_end());
        ExitCode::Usage
    })
}
