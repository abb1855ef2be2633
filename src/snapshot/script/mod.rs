//! The one reader of a plain dump: it sees in it what `psql` would see, and lets no command of `psql` through.
//!
//! It follows `psqlscan.l`, `mainloop.c` and `copy.c` of PostgreSQL 13 to 18, a line at a time as they do: a token
//! never spans lines, a quote may. Where those versions read a text differently, or where what is in
//! force depends on what only the server knows, it refuses the text rather than guess. It streams: a line outside
//! quotes is all that it holds.

#[cfg(test)]
mod against_psql;
#[cfg(test)]
mod model;
mod refused;
mod scan;
mod settings;
mod statement;
#[cfg(test)]
mod tests;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use self::refused::Cause;
pub(super) use self::refused::Refused;
use self::scan::Scanner;
pub(super) use self::settings::CHANGED;

/// Of a longer line a part is read before its end is known.
const PART: usize = 128 * 1024;
/// No word of SQL is as long; a line outside quotes is not held beyond it.
const LONGEST: usize = 1024 * 1024;
/// How much of a line is shown to who looks at it: longer ones are literals.
const SHOWN: usize = 64 * 1024;

/// What the reader has to know of the session that the script will run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    /// `standard_conforming_strings` at its start.
    pub standard_strings: bool,
    /// Whether this `psql` keeps the body of `BEGIN ATOMIC … END` together, as 14 and later do.
    pub knows_bodies: bool,
    /// How commands are kept from being run, beside being refused.
    pub closed_by: Closed,
}

/// The second defence, for what the server's state could hide from a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// `\restrict` with a key of ours stands before the first line.
    Restrict,
    /// Before each statement the server is asked whether quotes still mean what the reader takes them for.
    Asking,
}

/// Who gets what was read.
pub(super) trait Sink {
    /// What goes to `psql`.
    fn text(&mut self, _text: &[u8]) {}
    /// The start of a line that is not a row of `COPY`, with its number, counted from one.
    fn line(&mut self, _number: u64, _start: &[u8]) {}
}

impl Sink for Vec<u8> {
    fn text(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

/// Reads a script, piece by piece.
pub(super) struct Reader {
    scanner: Scanner,
    closed_by: Closed,
    /// Nothing was given out yet.
    at_start: bool,
    /// The line that is being read, counted from one.
    number: u64,
    /// What of it was not read yet.
    part: Vec<u8>,
    /// The line was shown, and a part of it may have been read.
    was_shown: bool,
    /// How many `COPY` wait for their rows; rows are read until none does.
    rows: u64,
    /// The start of a row, as long as it could be `\.`; None within a row.
    mark: Option<Vec<u8>>,
    end_of_rows: Finder<'static>,
}

impl Reader {
    pub(super) fn new(session: Session) -> Self {
        Self {
            scanner: Scanner::new(session),
            closed_by: session.closed_by,
            at_start: true,
            number: 1,
            part: Vec::new(),
            was_shown: false,
            rows: 0,
            mark: None,
            end_of_rows: Finder::new(b"\n\\."),
        }
    }

    /// True within the rows of a `COPY`, and at their last line without its end.
    pub(super) fn is_in_rows(&self) -> bool {
        let is_last = |mark: &[u8]| mark == b"\\." || mark == b"\\.\r";
        self.rows > 0 && !self.mark.as_deref().is_some_and(is_last)
    }

    /// Reads on.
    pub(super) fn push(&mut self, piece: &[u8], to: &mut impl Sink) -> Result<(), Refused> {
        if let Some(at) = memchr(0, piece) {
            let lines = memchr_iter(b'\n', &piece[..at]).count() as u64;
            return Err(Refused::new(self.number + lines, Cause::Nul));
        }
        let mut rest = piece;
        while !rest.is_empty() {
            if self.rows > 0 {
                rest = self.row(rest, to);
                continue;
            }
            let Some(end) = memchr(b'\n', rest) else {
                self.part.extend_from_slice(rest);
                if self.part.len() >= PART {
                    self.read(false, to)?;
                }
                return Ok(());
            };
            self.part.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.read(true, to)?;
            to.text(b"\n");
        }
        Ok(())
    }

    /// Reads what is left at the end.
    pub(super) fn end(&mut self, to: &mut impl Sink) -> Result<(), Refused> {
        if let Some(mark) = &self.mark {
            to.text(mark);
        }
        if self.rows == 0 && !self.part.is_empty() {
            self.read(true, to)?;
        }
        Ok(())
    }

    /// Reads the part at hand; `whole`: the line ends with it.
    fn read(&mut self, whole: bool, to: &mut impl Sink) -> Result<(), Refused> {
        let mut part = std::mem::take(&mut self.part);
        if self.at_start {
            // `psql` skips it there; behind what we put before it would not.
            if part.starts_with(b"\xef\xbb\xbf") {
                part.drain(..3);
            }
            if self.closed_by == Closed::Restrict {
                to.text(restriction().as_bytes());
            }
            self.at_start = false;
        }
        let is_first = !std::mem::replace(&mut self.was_shown, true);
        if is_first {
            to.line(self.number, &part[..part.len().min(SHOWN)]);
        }
        let refused = |cause| Refused::new(self.number, cause);
        let is_own_restriction = is_first && whole && self.scanner.is_between_statements();
        if is_own_restriction && restricts(&part) {
            // Left out, and its line's end kept: numbers of lines stay.
            part.clear();
        }
        let read = self.scanner.scan(&part, whole).map_err(refused)?;
        if !whole && part.len() - read > LONGEST {
            return Err(refused(Cause::TooLong));
        }
        let mut from = 0;
        for (at, question) in self.scanner.questions.drain(..) {
            to.text(&part[from..at]);
            to.text(question.as_bytes());
            from = at;
        }
        to.text(&part[from..read]);
        part.drain(..read);
        // Its room is kept for the next line.
        self.part = part;
        if whole {
            self.rows = self.scanner.end_line();
            self.mark = (self.rows > 0).then(Vec::new);
            self.number += 1;
            self.was_shown = false;
        }
        Ok(())
    }

    /// Reads rows, as far as one look goes; gives back the rest.
    fn row<'a>(&mut self, rest: &'a [u8], to: &mut impl Sink) -> &'a [u8] {
        let Some(mark) = &mut self.mark else {
            let end = match self.end_of_rows.find(rest) {
                Some(found) => found + 1,
                // It may go on with a dot.
                None if rest.ends_with(b"\n\\") => rest.len() - 1,
                None => rest.len(),
            };
            let (rows, rest) = rest.split_at(end);
            to.text(rows);
            self.number += memchr_iter(b'\n', rows).count() as u64;
            self.mark = rows.ends_with(b"\n").then(Vec::new);
            return rest;
        };
        let byte = rest[0];
        mark.push(byte);
        let ends = |end: &[u8]| mark.as_slice() == end;
        let begins = |end: &[u8]| end.starts_with(mark);
        if ends(b"\\.\n") || ends(b"\\.\r\n") {
            self.rows -= 1;
        } else if begins(b"\\.\n") || begins(b"\\.\r\n") {
            return &rest[1..];
        }
        to.text(mark);
        self.number += u64::from(byte == b'\n');
        self.mark = (self.rows > 0 && byte == b'\n').then(Vec::new);
        &rest[1..]
    }
}

/// The first words to a `psql` that knows them: nothing can lift this, for nothing knows the key.
fn restriction() -> String {
    let key: u128 = rand::random();
    // Without a line of its own: numbers of lines stay.
    format!("\\restrict {key:032x} \\\\ ")
}

/// What `pg_dump` writes since August 2025, at the start and the end.
fn restricts(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    [&b"\\restrict "[..], b"\\unrestrict "].iter().any(|word| {
        line.strip_prefix(*word)
            .is_some_and(|key| !key.is_empty() && key.iter().all(u8::is_ascii_alphanumeric))
    })
}
