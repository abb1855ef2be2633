//! Where reports go: known to be writable before a run, so that none is lost after it.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use lockproof::config::Output;
use lockproof::config::place::{Kind, Place};
use lockproof::exit_code::ExitCode;
use lockproof::judge::Verdict;
use lockproof::plan::{OnUnproven, Policy};
use lockproof::report::{Report, table};
use lockproof::{Error, Result};

use super::beside::{Beside, Stream};
use super::faces::Faces;
use crate::terminal::{Screen, print_ready};

/// Where something is written.
#[derive(Debug)]
pub enum Target {
    /// `-`
    Standard,
    /// What can only be written to: a pipe, a device, what this process has open. Open already.
    Channel(PathBuf, File),
    /// A file, which is replaced when the new one is whole.
    File(PathBuf, Beside),
}

impl Target {
    /// Finds out that it can be written; of a pipe, waits for who reads it.
    pub fn open(output: &Output) -> Result<Self> {
        let Output::File(path) = output else {
            return Ok(Self::Standard);
        };
        let refused = |error: std::io::Error| {
            Error::report(format!("`{}` cannot be written", path.display()))
                .because(error)
                .help("choose a folder that exists and is writable")
        };
        let place = Place::of(path).map_err(refused)?;
        match place.kind {
            Kind::Nothing | Kind::File => {
                let beside = Beside::at(&place.path).map_err(refused)?;
                Ok(Self::File(path.clone(), beside))
            }
            Kind::Folder => Err(refused(nix::Error::EISDIR.into())),
            Kind::Disk => Err(refused(std::io::Error::other("it is a disk"))),
            Kind::Channel => {
                // Nothing of what the shell appends to is cut off.
                let file = OpenOptions::new().append(true).open(path);
                let file = file.map_err(refused)?;
                Ok(Self::Channel(path.clone(), file))
            }
        }
    }

    /// Writes to it what `render` does, and nothing behind that.
    pub fn write(self, render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let (name, written) = match self {
            Self::Standard => (
                "standard output".to_owned(),
                through(Pipe(std::io::stdout()), render),
            ),
            Self::Channel(path, file) => (format!("`{}`", path.display()), through(file, render)),
            Self::File(path, beside) => (format!("`{}`", path.display()), beside.write(render)),
        };
        written.map_err(|error| Error::report(format!("{name} cannot be written")).because(error))
    }

    /// Writes this text.
    pub fn write_text(self, text: &str) -> Result<()> {
        self.write(|sink| sink.write_all(text.as_bytes()))
    }

    /// A sink for a stream, which is in its place from its first flush on.
    pub fn sink(self) -> Box<dyn Write + Send> {
        match self {
            Self::Standard => Box::new(BufWriter::new(Pipe(std::io::stdout()))),
            Self::Channel(_, file) => Box::new(BufWriter::new(file)),
            Self::File(_, beside) => Box::new(Stream::at(beside)),
        }
    }
}

fn through(
    sink: impl Write,
    render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut sink = BufWriter::new(sink);
    render(&mut sink)?;
    sink.flush()
}

/// Standard output whose reader may go away: that is its own choice, and no failure of ours.
struct Pipe(std::io::Stdout);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// Prints the report in every form that was asked for; the exit code.
pub fn show(
    report: &Report,
    policy: &Policy,
    faces: Faces,
    standard_is_taken: bool,
    screen: &Screen,
) -> Result<ExitCode> {
    screen.finish();
    let standard_is_taken = standard_is_taken || faces.take_standard();
    show_text(
        |palette| table::render(report, palette),
        standard_is_taken,
        screen,
    )?;
    tell_failures(report, screen);
    match faces.write(report, policy).into_iter().next() {
        Some(error) => Err(error),
        None => Ok(exit_code(report.verdict, policy)),
    }
}

/// A statement that failed is an error, and is told where the report is not.
pub fn tell_failures(report: &Report, screen: &Screen) {
    if !screen.is_quiet() {
        return;
    }
    for finding in report
        .findings
        .iter()
        .filter(|finding| finding.rule == "step-failed")
    {
        let mut lines = finding.message.lines();
        let first = lines.next().unwrap_or_default();
        let error = Error::stage(format!("{}: {first}", finding.step));
        screen.failure(&error.details(lines.map(str::to_owned)));
    }
}

/// Prints what is for people: to standard error where a report or a recording has the other.
pub fn show_text(
    render: impl FnOnce(table::Palette) -> String,
    standard_is_taken: bool,
    screen: &Screen,
) -> Result<()> {
    if standard_is_taken {
        // Whoever says something ends the line.
        let text = render(table::Palette::Plain);
        screen.say(text.strip_suffix('\n').unwrap_or(&text));
    } else if !screen.is_quiet() {
        screen.aside(|| print_ready(&render(screen.palette())))?;
    }
    Ok(())
}

/// The exit code of a verdict.
pub fn exit_code(verdict: Verdict, policy: &Policy) -> ExitCode {
    match verdict {
        Verdict::Within => ExitCode::Within,
        Verdict::Exceeded => ExitCode::Exceeded,
        Verdict::Failed => ExitCode::Failed,
        Verdict::Unproven | Verdict::NotRun => match policy.on_unproven {
            OnUnproven::Fail => ExitCode::Unproven,
            OnUnproven::Allow => ExitCode::Within,
        },
    }
}
