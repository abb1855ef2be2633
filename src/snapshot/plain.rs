//! Plain dumps: looked through once before the restore, streamed into `psql` after, and read both times
//! by [the same reader](super::script), which lets no command of `psql` through.
//!
//! `psql` takes the end of a cut-off file for its end, even in the middle of a table's rows; so
//! what `pg_dump` writes on the last line is looked for first.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use super::detect::{Packing, damaged, unpack};
use super::needs::Needs;
use super::publishers::{self, Publishers};
use super::roles;
use super::script::{Reader, Session, Sink};
use crate::{Error, Result};

/// What is read of a file at once.
const PIECE: usize = 256 * 1024;

/// What a plain dump says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The roles that its statements name.
    pub roles: BTreeSet<String>,
    /// How many indexes, keys and foreign keys it builds when the rows are in.
    pub built: u64,
    /// `Dumped from database version`, where it says so.
    pub server: Option<String>,
    /// What it needs of the server.
    pub needs: Needs,
}

/// Looks through a dump; refuses one that is cut off, not of one database, or that would have `psql` run a command.
pub(super) fn look(
    path: &Path,
    packing: Packing,
    session: Session,
    mut stream: impl Read + Send + 'static,
) -> Result<Facts> {
    let mut reader = Reader::new(session);
    let mut seen = Seen::default();
    let mut piece = vec![0; PIECE];
    loop {
        let read = match stream.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome.map_err(|error| damaged(path, packing, error))?,
        };
        let outcome = if read == 0 {
            reader.end(&mut seen)
        } else {
            reader.push(&piece[..read], &mut seen)
        };
        if seen.of_a_cluster {
            return Err(Error::stage(format!(
                "`{}` is a dump of a whole cluster, made by `pg_dumpall`",
                path.display()
            ))
            .help("take one of the database with `pg_dump --format=custom`"));
        }
        // A command that the end of the file cuts off is no command yet.
        let is_cut_off = read == 0 && seen.by_pg_dump && !seen.complete;
        match outcome {
            Err(_) if is_cut_off => break,
            outcome => outcome.map_err(|refused| refused.of(path))?,
        }
        if read == 0 {
            break;
        }
    }
    if let Some(number) = seen.publishers.refused() {
        let place = format!("line {number} of `{}`", path.display());
        return Err(publishers::error(&place));
    }
    if reader.is_in_rows() || seen.by_pg_dump && !seen.complete {
        return Err(Error::stage(format!(
            "the dump `{}` is cut off: its last line is missing",
            path.display()
        ))
        .help("copy or take it again, and compare its size with the original's"));
    }
    Ok(seen.facts)
}

/// What the lines of a dump say, those of its rows left out.
#[derive(Debug, Default)]
struct Seen {
    facts: Facts,
    by_pg_dump: bool,
    complete: bool,
    of_a_cluster: bool,
    publishers: Publishers,
}

impl Sink for Seen {
    fn line(&mut self, number: u64, line: &[u8]) {
        self.publishers.line(number, line);
        self.facts.built += u64::from(builds(line));
        match line.first() {
            Some(b'-') => match line.trim_ascii_end() {
                b"-- PostgreSQL database dump" => self.by_pg_dump = true,
                b"-- PostgreSQL database dump complete" => self.complete = true,
                b"-- PostgreSQL database cluster dump" => self.of_a_cluster = true,
                comment => {
                    if let Some(version) = comment.strip_prefix(b"-- Dumped from database version ")
                    {
                        self.facts.server = Some(String::from_utf8_lossy(version).into_owned());
                    }
                }
            },
            Some(b'C') if line.starts_with(b"COPY ") => {}
            Some(b'A' | b'G' | b'R' | b'C' | b'S') => {
                let text = String::from_utf8_lossy(line);
                roles::mentioned(&text, &mut self.facts.roles);
                self.facts.needs.mentioned(&text);
            }
            _ => {}
        }
    }
}

/// Whether `pg_dump` has an index or a key built by this line.
fn builds(line: &[u8]) -> bool {
    let starts = |start: &str| line.starts_with(start.as_bytes());
    let has = |part: &str| {
        line.windows(part.len())
            .any(|found| found == part.as_bytes())
    };
    starts("CREATE INDEX ")
        || starts("CREATE UNIQUE INDEX ")
        || starts("    ADD CONSTRAINT ")
            && [" PRIMARY KEY ", " UNIQUE ", " FOREIGN KEY ", " EXCLUDE "]
                .iter()
                .any(|kind| has(kind))
}

/// How far a stream is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    read: Arc<AtomicU64>,
    /// The size of the file, packed as it is.
    pub total: u64,
}

impl Progress {
    /// Bytes of the file that were read.
    pub fn done(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// A dump, unpacked as it is read, and how far that is.
pub(super) fn counted(path: &Path, packing: Packing) -> Result<(Box<dyn Read + Send>, Progress)> {
    let file = File::open(path).map_err(|error| damaged(path, packing, error))?;
    let progress = Progress {
        read: Arc::default(),
        total: file.metadata().map_or(0, |facts| facts.len()),
    };
    let counted = Counted {
        file,
        read: Arc::clone(&progress.read),
    };
    let unpacked = unpack(counted, packing).map_err(|error| damaged(path, packing, error))?;
    Ok((unpacked, progress))
}

/// A dump as a stream, unpacked on a thread of its own; a script passes through its `reader`.
pub(super) fn stream(
    path: &Path,
    packing: Packing,
    mut reader: Option<Reader>,
) -> Result<(Stream, Progress)> {
    let (mut unpacked, progress) = counted(path, packing)?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; PIECE];
        loop {
            let read = match unpacked.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome,
            };
            let is_last = !matches!(read, Ok(1..));
            let chunk = read.and_then(|read| through(reader.as_mut(), &piece[..read]));
            // An error is the last message; a receiver that is gone wants no more.
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed || is_last {
                return;
            }
        }
    });
    let stream = Stream {
        receiver,
        chunk: Bytes::new(),
    };
    Ok((stream, progress))
}

/// What comes of a piece; an empty one is the end.
fn through(reader: Option<&mut Reader>, piece: &[u8]) -> std::io::Result<Bytes> {
    let Some(reader) = reader else {
        return Ok(Bytes::copy_from_slice(piece));
    };
    let mut text = Vec::with_capacity(piece.len());
    let outcome = if piece.is_empty() {
        reader.end(&mut text)
    } else {
        reader.push(piece, &mut text)
    };
    // It was looked through: another file has this name by now.
    outcome.map_err(|refused| {
        std::io::Error::other(format!("line {} has changed meanwhile", refused.line))
    })?;
    Ok(text.into())
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Stream {
    receiver: mpsc::Receiver<std::io::Result<Bytes>>,
    chunk: Bytes,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // An empty chunk is not the end: all of it may have been left out.
        while self.chunk.is_empty() {
            match self.receiver.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(chunk)) => self.chunk = chunk?,
            }
        }
        let count = self.chunk.len().min(buffer.remaining());
        buffer.put_slice(&self.chunk[..count]);
        self.chunk.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::AsyncReadExt;

    use crate::snapshot::script::Closed;

    const SESSION: Session = Session {
        standard_strings: true,
        knows_bodies: true,
        closed_by: Closed::Restrict,
    };

    fn look_at(path: &Path, packing: Packing) -> Result<Facts> {
        look(path, packing, SESSION, counted(path, packing)?.0)
    }

    const WHOLE: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict a1B\n\n\
        -- Dumped from database version 15.20\n\
        ALTER TABLE public.a OWNER TO app;\n\
        COPY public.a (x) FROM stdin;\n\\connect data\nGRANT x TO nobody_at_all;\n\
        CREATE INDEX of_a_row\n\\.\n\n\
        ALTER TABLE ONLY public.a\n    ADD CONSTRAINT a_pkey PRIMARY KEY (x);\n\
        CREATE INDEX i ON public.a USING btree (x);\n\
        -- PostgreSQL database dump complete\n--\n\n\\unrestrict a1B\n\n";

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text).expect("written");
        file
    }

    #[test]
    fn a_dump_is_looked_through_but_not_its_rows() {
        let file = file(WHOLE.as_bytes());
        let facts = look_at(file.path(), Packing::None).expect("a whole dump");
        assert_eq!(facts.roles.iter().collect::<Vec<_>>(), ["app"]);
        assert_eq!(facts.server.as_deref(), Some("15.20"));
        assert_eq!(facts.built, 2);
    }

    #[test]
    fn a_dump_cut_off_anywhere_is_refused() {
        let end = WHOLE.find("complete").expect("its last line");
        for length in 32..end {
            let file = file(&WHOLE.as_bytes()[..length]);
            let error = look_at(file.path(), Packing::None).expect_err("cut off");
            assert!(error.to_string().contains("cut off"), "{error}");
        }
    }

    #[test]
    fn hand_written_sql_needs_no_last_line() {
        let facts = look_at(file(b"SELECT 1;\nSELECT 2").path(), Packing::None).expect("plain SQL");
        assert_eq!(facts, Facts::default());
    }

    #[test]
    fn what_would_go_to_another_database_is_refused() {
        for (text, message) in [
            ("CREATE DATABASE x;\n\\connect x\n", "line 2"),
            ("--\n-- PostgreSQL database cluster dump\n", "pg_dumpall"),
        ] {
            let error = look_at(file(text.as_bytes()).path(), Packing::None).expect_err(message);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    async fn streamed(path: &Path, packing: Packing, reader: Option<Reader>) -> Vec<u8> {
        let (mut stream, progress) = stream(path, packing, reader).expect("a stream");
        let mut result = Vec::new();
        stream.read_to_end(&mut result).await.expect("read");
        assert_eq!(progress.done(), progress.total);
        result
    }

    #[tokio::test]
    async fn a_stream_passes_everything_and_a_script_all_but_its_restrictions() {
        let rows = "a row \\N of a table\n".repeat(100_000);
        let text = WHOLE.replace("\\connect data\n", &rows);
        let packed = zstd::encode_all(text.as_bytes(), 1).expect("packed");
        let file = file(&packed);
        let as_it_is = streamed(file.path(), Packing::Zstd, None).await;
        assert!(as_it_is == text.as_bytes());
        let reader = Some(Reader::new(SESSION));
        let read = streamed(file.path(), Packing::Zstd, reader).await;
        let read = String::from_utf8(read).expect("text");
        let (ours, rest) = read.split_once(" \\\\ ").expect("a key of ours");
        let key = ours.strip_prefix("\\restrict ").expect("a restriction");
        assert_eq!(key.len(), 32);
        assert!(
            rest == text
                .replace("\\restrict a1B", "")
                .replace("\\unrestrict a1B", "")
        );
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_off_ends_in_an_error() {
        let packed = zstd::encode_all(&vec![7_u8; 3_000_000][..], 1).expect("packed");
        let file = file(&packed[..packed.len() / 2]);
        let (mut stream, _) = stream(file.path(), Packing::Zstd, None).expect("a stream");
        let mut result = Vec::new();
        assert!(stream.read_to_end(&mut result).await.is_err());
    }
}
