//! What a person sees: progress on a terminal, plain lines in a pipe, errors in one style.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lockproof::Error;
use lockproof::cli::{Color, Terminal};
use lockproof::report::table::Palette;
use lockproof::stage::Watch;

/// The terminal, or what stands for it.
pub struct Screen {
    quiet: bool,
    verbose: u8,
    color: Color,
    lines: MultiProgress,
    bar: ProgressBar,
    phase: Mutex<String>,
}

impl Screen {
    /// From what was typed.
    pub fn new(terminal: &Terminal) -> Self {
        let target = if terminal.quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self::on(MultiProgress::with_draw_target(target), terminal)
    }

    fn on(lines: MultiProgress, terminal: &Terminal) -> Self {
        let bar = lines.add(ProgressBar::no_length());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self {
            quiet: terminal.quiet,
            verbose: terminal.verbose,
            color: terminal.color,
            lines,
            bar,
            phase: Mutex::new(String::new()),
        }
    }

    /// A line of progress more, below this one's.
    pub fn another(&self) -> Self {
        let terminal = Terminal {
            quiet: self.quiet,
            verbose: self.verbose,
            color: self.color,
        };
        Self::on(self.lines.clone(), &terminal)
    }

    /// Writes to standard output while no line of progress is in the way. Where that is no terminal they
    /// are not, and whoever tells progress does not wait for a slow reader.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        if std::io::stdout().is_terminal() {
            self.bar.suspend(write)
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
        self.bar.finish_and_clear();
    }

    /// A line for the person, not for the pipe.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| eprint_line(text));
        }
    }

    /// An error with all it has to say.
    pub fn error(&self, error: &Error) {
        self.finish();
        let text = format!("error: {}", error.story());
        self.bar.suspend(|| eprint_line(&text));
    }
}

impl Watch for Screen {
    fn phase(&self, what: &str) {
        if let Ok(mut phase) = self.phase.lock() {
            what.clone_into(&mut phase);
        }
        self.bar.set_message(what.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(120));
        if self.verbose > 0 && self.bar.is_hidden() {
            self.say(what);
        }
    }

    fn advance(&self, done: u64, total: Option<u64>) {
        let Ok(phase) = self.phase.lock() else {
            return;
        };
        let done_text = lockproof::report::text::count(done);
        self.bar.set_message(match total {
            Some(total) if total > 0 => format!(
                "{phase}: {done_text} of {} ({} %)",
                lockproof::report::text::count(total),
                done.saturating_mul(100) / total
            ),
            _ => format!("{phase}: {done_text}"),
        });
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}

/// A reader that went away is no failure of ours.
pub fn print(text: &str) -> lockproof::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::report("standard output cannot be written").because(error))
        }
        _ => Ok(()),
    }
}

fn eprint_line(text: &str) {
    // Nothing can be said about a standard error that is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
