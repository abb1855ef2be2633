//! The one error of the library: what went wrong, why, and the way out.
//!
//! A broken budget and a failing statement are no errors; they are data in the report.

use std::error::Error as StdError;
use std::fmt;

use crate::exit_code::ExitCode;

/// What sort of trouble it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The command line, the scenario or the snapshot description is invalid.
    Usage,
    /// The stage could not be brought up, restored, or was lost.
    Stage,
    /// A report or a recording could not be written.
    Report,
    /// Ended by this signal, after cleaning up.
    Signal(i32),
    /// A defect of lockproof itself.
    Defect,
}

/// Names the thing, the cause and the way out.
///
/// The message is lowercase, has names in backticks and no final stop.
pub struct Error(Box<Inner>);

struct Inner {
    trouble: Trouble,
    message: String,
    help: Option<String>,
    details: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with nothing but its message.
    pub fn new(trouble: Trouble, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            trouble,
            message: message.into(),
            help: None,
            details: Vec::new(),
            source: None,
        }))
    }

    /// The command line, a scenario or a snapshot description is invalid.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Trouble::Usage, message)
    }

    /// The stage could not be brought up, restored, or was lost.
    pub fn stage(message: impl Into<String>) -> Self {
        Self::new(Trouble::Stage, message)
    }

    /// A report or a recording could not be written.
    pub fn report(message: impl Into<String>) -> Self {
        Self::new(Trouble::Report, message)
    }

    /// A defect of lockproof itself.
    pub fn defect(message: impl Into<String>) -> Self {
        Self::new(Trouble::Defect, message)
    }

    /// Names the one of several that it is about, before everything else.
    #[must_use]
    pub fn about(mut self, which: &str) -> Self {
        self.0.message = format!("`{which}`: {}", self.0.message);
        self
    }

    /// Adds the way out, shown on a `help:` line.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds the way out unless there is one already.
    #[must_use]
    pub fn or_help(mut self, help: impl Into<String>) -> Self {
        self.0.help.get_or_insert_with(|| help.into());
        self
    }

    /// Adds lines shown below the message as they are, such as a server's last log lines.
    #[must_use]
    pub fn details<I>(mut self, lines: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.0.details.extend(lines.into_iter().map(Into::into));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What sort of trouble it is.
    pub fn trouble(&self) -> Trouble {
        self.0.trouble
    }

    /// The process's exit code for this error.
    pub fn exit_code(&self) -> ExitCode {
        match self.0.trouble {
            Trouble::Usage => ExitCode::Usage,
            Trouble::Stage => ExitCode::Stage,
            Trouble::Report => ExitCode::Report,
            Trouble::Defect => ExitCode::Defect,
            Trouble::Signal(signal) => ExitCode::Signal(signal),
        }
    }

    /// The whole story on several lines: message, causes, details, help.
    pub fn story(&self) -> String {
        let mut story = self.0.message.clone();
        let mut cause = self
            .0
            .source
            .as_deref()
            .map(|source| source as &dyn StdError);
        while let Some(error) = cause {
            let text = error.to_string();
            // tokio-postgres and others repeat their source's words: say each once. "db error" is
            // only the heading of what the server said, which comes next.
            if !story.ends_with(&text) && text != "db error" {
                story.push_str(": ");
                story.push_str(&text);
            }
            cause = error.source();
        }
        for line in &self.0.details {
            story.push_str("\n  | ");
            story.push_str(line);
        }
        if let Some(help) = &self.0.help {
            story.push_str("\n  help: ");
            story.push_str(help);
        }
        story
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
