//! What a person sees: progress on a terminal, plain lines in a pipe, errors in one style.

mod pace;
mod phase;
mod progress;

use std::io::{IsTerminal, Write};

use lockproof::cli::{Color, Terminal};
use lockproof::report::table::Palette;
use lockproof::stage::{Unit, Watch};
use lockproof::{Error, redact};

use self::progress::{Face, Progress};

/// The terminal, or what stands for it.
pub struct Screen {
    quiet: bool,
    verbose: u8,
    color: Color,
    progress: Progress,
}

impl Screen {
    /// From what was typed.
    pub fn new(terminal: &Terminal) -> Self {
        let face = if terminal.quiet {
            Face::Nothing
        } else {
            Face::of_standard_error()
        };
        Self {
            quiet: terminal.quiet,
            verbose: terminal.verbose,
            color: terminal.color,
            progress: Progress::new(face),
        }
    }

    /// A line of progress more, below this one's.
    pub fn another(&self) -> Self {
        Self {
            quiet: self.quiet,
            verbose: self.verbose,
            color: self.color,
            progress: self.progress.another(),
        }
    }

    /// Writes to standard output while no line of progress is in the way. Where that is no terminal they
    /// are not, and whoever tells progress does not wait for a slow reader.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        if std::io::stdout().is_terminal() {
            self.progress.suspend(write)
        } else {
            write()
        }
    }

    /// Whether a report on standard output is coloured.
    pub fn palette(&self) -> Palette {
        let colour = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            }
        };
        if colour {
            Palette::Ansi
        } else {
            Palette::Plain
        }
    }

    /// Whether the report itself is not wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Progress is over; the line is free for other things.
    pub fn finish(&self) {
        self.progress.finish();
    }

    /// A line for the person, not for the pipe.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            let text = shown(text);
            self.progress.suspend(|| eprint_line(&text));
        }
    }

    /// An error with all it has to say, as far as it may be shown: a server's words may be among its causes.
    pub fn error(&self, error: &Error) {
        self.tell(&redact::foreign::text(&error.story()));
    }

    /// An error of which nothing but what may be shown was kept: a statement that failed, out of a report.
    pub fn failure(&self, error: &Error) {
        self.tell(&error.story());
    }

    fn tell(&self, story: &str) {
        self.progress.abandon();
        let text = shown(&format!("error: {story}"));
        self.progress.suspend(|| eprint_line(&text));
    }
}

impl Screen {
    fn begin(&self, what: &str, unit: Option<Unit>) {
        let what = &line(what);
        self.progress.begin(what, unit);
        if self.verbose > 0 && self.progress.face() == Face::Log {
            self.say(what);
        }
    }
}

impl Watch for Screen {
    fn phase(&self, what: &str) {
        self.begin(what, None);
    }

    fn measured(&self, what: &str, unit: Unit) {
        self.begin(what, Some(unit));
    }

    fn advance(&self, done: u64, total: Option<u64>) {
        self.progress
            .change(|phase, at| phase.advance(done, total, at));
    }

    fn share(&self, done: u64, total: u64) {
        self.progress
            .change(|phase, at| phase.share(done, total, at));
    }

    fn detail(&self, what: &str) {
        let what = line(what);
        self.progress.change(|phase, _| phase.detail(&what));
    }

    fn note(&self, text: &str) {
        self.say(&redact::foreign::text(text));
    }
}

/// A text as it may reach a terminal: without secrets, and with nothing in it that a terminal would obey.
pub fn shown(text: &str) -> String {
    redact::escape(&redact::hide(text)).into_owned()
}

/// The same on one line, for what is drawn again and again.
fn line(text: &str) -> String {
    redact::escape_name(&redact::hide(text)).into_owned()
}

/// Prints a text to standard output, as far as it may reach a terminal.
pub fn print(text: &str) -> lockproof::Result<()> {
    print_ready(&shown(text))
}

/// Prints a text of which every part was made fit to be shown: a report with its colours, a document.
/// A reader that went away is no failure of ours.
pub fn print_ready(text: &str) -> lockproof::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::report("standard output cannot be written").because(error))
        }
        _ => Ok(()),
    }
}

/// What is wrong with the command line, before there is a screen.
pub fn complain(text: &str) {
    eprint_line(text);
}

fn eprint_line(text: &str) {
    // Nothing can be said about a standard error that is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
