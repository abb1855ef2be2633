//! Reads a recording, and names the line of a defect.
//!
//! A file that was cut in mid-line, as a killed run leaves it, is read up to there; a defect
//! anywhere else is an error. Whatever is not a recording is known for it early, also where it has no end.

use std::io::{BufRead, ErrorKind};

use super::format::{Event, Header, VERSION};
use crate::{Error, Result};

/// The longest line: that of a database's tables has some 200 bytes for each, and databases have a million of them.
const LONGEST: usize = 256 << 20;
/// As much is read of what does not begin as a recording, to say what is wrong with it.
const GLANCE: usize = 4096;
/// So many empty lines one after the other are no slip of who edited the file.
const EMPTY_LINES: usize = 1000;

/// Iterates over a recording's events, after its header.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    name: String,
    header: Header,
    line: Vec<u8>,
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
        let mut line = Vec::new();
        let head = source
            .fill_buf()
            .map_err(|error| unreadable(name, 1, error))?;
        if packed(head) {
            return Err(
                Error::usage(format!("`{name}` is no recording: it is packed"))
                    .help("unpack it first, such as `gunzip -c FILE | lockproof judge -`"),
            );
        }
        let most = if head.first() == Some(&b'{') {
            LONGEST
        } else {
            GLANCE
        };
        let length = match read_line(&mut source, &mut line, most) {
            Ok(length) => length,
            Err(error) if most == GLANCE && error.kind() == ErrorKind::FileTooLarge => {
                return Err(Error::usage(format!(
                    "`{name}` is no recording: line 1 does not begin with `{{`"
                ))
                .help("`lockproof run … --record FILE` writes one"));
            }
            Err(error) => return Err(unreadable(name, 1, error)),
        };
        if length == 0 {
            return Err(Error::usage(format!("the recording `{name}` is empty"))
                .help("`lockproof run … --record FILE` writes one as soon as it begins"));
        }
        let value: serde_json::Value = serde_json::from_slice(&line).map_err(|error| {
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
        let mut empty = 0;
        loop {
            self.line.clear();
            self.number += 1;
            match read_line(&mut self.source, &mut self.line, LONGEST) {
                Ok(0) => return None,
                Ok(_) if self.line.trim_ascii().is_empty() => {
                    empty += 1;
                    if empty > EMPTY_LINES {
                        let error = std::io::Error::other("there are only empty lines");
                        return Some(Err(unreadable(&self.name, self.number, error)));
                    }
                }
                Ok(_) => break,
                Err(error) => return Some(Err(unreadable(&self.name, self.number, error))),
            }
        }
        match serde_json::from_slice::<Event>(&self.line) {
            Ok(event) => {
                if matches!(event, Event::RunFinished { .. }) {
                    self.end = End::Whole;
                }
                Some(Ok(event))
            }
            // The last line of a killed run may be half a line.
            Err(_) if !self.line.ends_with(b"\n") => None,
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

/// The next line with its end, if it has no more than so many bytes; the number of them.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>, most: usize) -> std::io::Result<usize> {
    loop {
        let bytes = match source.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let read = end.map_or(bytes.len(), |end| end + 1);
        if line.len() + read > most {
            return Err(std::io::Error::new(
                ErrorKind::FileTooLarge,
                "it is longer than any line of a recording",
            ));
        }
        line.extend_from_slice(&bytes[..read]);
        source.consume(read);
        if end.is_some() || read == 0 {
            return Ok(line.len());
        }
    }
}

/// What gzip, zstd, xz and bzip2 begin with.
fn packed(head: &[u8]) -> bool {
    [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh"]
        .iter()
        .any(|magic| head.starts_with(magic))
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

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Read};

    use super::*;

    const RECORDED: &str = include_str!("../../tests/recordings/published.jsonl");

    fn refused(source: impl Read) -> String {
        match Reader::new(BufReader::new(source), "r") {
            Ok(_) => panic!("taken"),
            Err(error) => error.story(),
        }
    }

    #[test]
    fn what_has_no_end_is_refused_for_its_beginning() {
        for (byte, words) in [
            (0, "`r` is no recording: line 1 does not begin with `{`"),
            (b'x', "`r` is no recording: line 1 does not begin with `{`"),
            (b'{', "line 1 of the recording `r` cannot be read"),
        ] {
            let story = refused(std::io::repeat(byte));
            assert!(story.starts_with(words), "{story}");
        }
        let story = refused(&b"\x1f\x8b\x08rest"[..]);
        assert!(
            story.contains("it is packed") && story.contains("gunzip"),
            "{story}"
        );
    }

    #[test]
    fn what_has_no_end_after_a_header_is_given_up() {
        let (header, _) = RECORDED.split_once('\n').expect("a header");
        let begun = |rest: u8| {
            let source = Cursor::new(format!("{header}\n")).chain(std::io::repeat(rest));
            let mut reader = Reader::new(BufReader::new(source), "r").expect("a header");
            let answer = reader.next().expect("an answer");
            // Its cause as well.
            let error = answer.expect_err("endless");
            error.story()
        };
        let empty = begun(b'\n');
        assert!(empty.contains("only empty lines"), "{empty}");
        let long = begun(b' ');
        assert!(long.contains("longer than any line"), "{long}");
        let few = format!("{header}\n\n \n");
        let mut reader = Reader::new(Cursor::new(few), "r").expect("a header");
        assert!(reader.next().is_none());
    }
}
