//! `lockproof completions` and `lockproof man`.

use clap::CommandFactory;
use lockproof::cli::{Cli, Completions};
use lockproof::exit_code::ExitCode;
use lockproof::{Error, Result};

use crate::terminal::print_ready;

/// Prints a completion script.
pub fn completions(arguments: &Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "lockproof",
        &mut script,
    );
    print_ready(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Within)
}

/// Prints the manual page with a section for each subcommand.
pub fn man() -> Result<ExitCode> {
    let mut page = Vec::new();
    let failed =
        |error: std::io::Error| Error::defect("cannot render the manual page").because(error);
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(failed)?;
    for subcommand in command.get_subcommands().filter(|s| s.get_name() != "help") {
        let man = clap_mangen::Man::new(subcommand.clone());
        let name = subcommand.get_name().to_uppercase();
        page.extend(format!(".SH \"LOCKPROOF {name}\"\n").bytes());
        man.render_description_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
        man.render_extra_section(&mut page).map_err(failed)?;
    }
    print_ready(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::Within)
}
