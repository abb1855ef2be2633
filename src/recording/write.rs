//! Writes a recording, line by line, so that whatever happens the lines so far are readable.

use std::io::{self, Write};

use super::format::{Event, Header};

/// Appends messages to a sink.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
}

impl<W: Write> Writer<W> {
    /// Begins a recording with its header.
    ///
    /// # Errors
    /// What the sink says.
    pub fn new(mut sink: W, header: &Header) -> io::Result<Self> {
        line(&mut sink, header)?;
        sink.flush()?;
        Ok(Self { sink })
    }

    /// Appends an event; flushed at the end of a step and of the run.
    ///
    /// # Errors
    /// What the sink says.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        line(&mut self.sink, event)?;
        if matches!(
            event,
            Event::StepStarted { .. } | Event::Traces { .. } | Event::RunFinished { .. }
        ) {
            self.sink.flush()?;
        }
        Ok(())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the sink says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn line<W: Write, T: serde::Serialize>(sink: &mut W, message: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *sink, message)?;
    sink.write_all(b"\n")
}
