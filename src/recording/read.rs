//! Reads a recording, and names the line of a defect.
//!
//! A file that was cut in mid-line, as a killed run leaves it, is read up to there; a defect
//! anywhere else is an error.

use std::io::BufRead;

use super::format::{Event, Header, VERSION};
use crate::{Error, Result};

/// Iterates over a recording's events, after its header.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    name: String,
    header: Header,
    line: String,
    number: usize,
    end: End,
}

/// How a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Not reached yet, or without its last line: the run did not end by itself.
    Cut,
    /// With `run_finished`.
    Whole,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header; errors call the recording by this name.
    ///
    /// # Errors
    /// The first line is no header, or one of another version.
    pub fn new(mut source: R, name: &str) -> Result<Self> {
        let mut line = String::new();
        let length = source
            .read_line(&mut line)
            .map_err(|error| unreadable(name, 1, error))?;
        if length == 0 {
            return Err(Error::usage(format!("the recording `{name}` is empty"))
                .help("`lockproof run … --record FILE` writes one as soon as it begins"));
        }
        let value: serde_json::Value = serde_json::from_str(&line).map_err(|error| {
            Error::usage(format!("`{name}` is no recording: line 1 is not JSON"))
                .because(error)
                .help("`lockproof run … --record FILE` writes one")
        })?;
        match value.get("lockproof_recording") {
            Some(version) if *version == VERSION => {}
            Some(version) => {
                return Err(Error::usage(format!(
                    "the recording `{name}` has version {version}, this lockproof reads version {VERSION}"
                ))
                .help("judge it with the lockproof that wrote it"));
            }
            None => {
                return Err(Error::usage(format!(
                    "`{name}` is no recording: line 1 has no `lockproof_recording`"
                ))
                .help("`lockproof run … --record FILE` writes one"));
            }
        }
        let header = serde_json::from_value(value).map_err(|error| damaged(name, 1, error))?;
        Ok(Self {
            source,
            name: name.to_owned(),
            header,
            line,
            number: 1,
            end: End::Cut,
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How the recording ended; known once `next` has given None.
    pub fn end(&self) -> End {
        self.end
    }

    fn parse(&mut self) -> Option<Result<Event>> {
        loop {
            self.line.clear();
            self.number += 1;
            match self.source.read_line(&mut self.line) {
                Ok(0) => return None,
                Ok(_) if self.line.trim().is_empty() => {}
                Ok(_) => break,
                Err(error) => return Some(Err(unreadable(&self.name, self.number, error))),
            }
        }
        match serde_json::from_str::<Event>(&self.line) {
            Ok(event) => {
                if matches!(event, Event::RunFinished { .. }) {
                    self.end = End::Whole;
                }
                Some(Ok(event))
            }
            // The last line of a killed run may be half a line.
            Err(_) if !self.line.ends_with('\n') => None,
            Err(error) => Some(Err(damaged(&self.name, self.number, error))),
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.parse()
    }
}

fn unreadable(name: &str, line: usize, error: std::io::Error) -> Error {
    Error::usage(format!(
        "line {line} of the recording `{name}` cannot be read"
    ))
    .because(error)
    .help("`lockproof run … --record FILE` writes one")
}

fn damaged(name: &str, line: usize, error: serde_json::Error) -> Error {
    Error::usage(format!("line {line} of the recording `{name}` is damaged"))
        .because(error)
        .help("copy it again from where it was written, or record another run")
}
