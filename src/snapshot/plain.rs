//! Plain dumps: looked through once before the restore, streamed into `psql` after.
//!
//! `psql` takes the end of a cut-off file for its end, even in the middle of a table's rows; so
//! what `pg_dump` writes on the last line is looked for first.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
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
use crate::{Error, Result};

/// Longer lines are rows or literals: of them the start is enough.
const LINE: usize = 64 * 1024;

/// What a plain dump says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The roles that its statements name.
    pub roles: BTreeSet<String>,
    /// Where `\restrict` and `\unrestrict` stand in the unpacked stream: start and end.
    pub restrictions: Vec<(u64, u64)>,
    /// How many indexes, keys and foreign keys it builds when the rows are in.
    pub built: u64,
    /// `Dumped from database version`, where it says so.
    pub server: Option<String>,
    /// What it needs of the server.
    pub needs: Needs,
}

/// Looks through a dump; refuses one that is cut off or not of one database.
pub(super) fn look(
    path: &Path,
    packing: Packing,
    stream: impl Read + Send + 'static,
) -> Result<Facts> {
    let shown = path.display();
    let mut lines = Lines::new(stream);
    let mut facts = Facts::default();
    let mut by_pg_dump = false;
    let mut complete = false;
    let mut in_rows = false;
    let mut publishers = Publishers::default();
    while let Some(line) = lines
        .next()
        .map_err(|error| damaged(path, packing, error))?
    {
        if in_rows {
            in_rows = line.bytes.trim_ascii_end() != b"\\.";
            continue;
        }
        facts.built += u64::from(builds(line.bytes));
        publishers.line(line.number, line.bytes);
        match line.bytes.first() {
            Some(b'-') => match line.bytes.trim_ascii_end() {
                b"-- PostgreSQL database dump" => by_pg_dump = true,
                b"-- PostgreSQL database dump complete" => complete = true,
                b"-- PostgreSQL database cluster dump" => {
                    return Err(Error::stage(format!(
                        "`{shown}` is a dump of a whole cluster, made by `pg_dumpall`"
                    ))
                    .help("take one of the database with `pg_dump --format=custom`"));
                }
                comment => {
                    if let Some(version) = comment.strip_prefix(b"-- Dumped from database version ")
                    {
                        facts.server = Some(String::from_utf8_lossy(version).into_owned());
                    }
                }
            },
            Some(b'\\') => {
                if line.bytes.starts_with(b"\\connect ") || line.bytes.starts_with(b"\\c ") {
                    return Err(Error::stage(format!(
                        "line {} of `{shown}` connects to another database: the data would go there",
                        line.number
                    ))
                    .help("take the dump without `--create`, or remove its `CREATE DATABASE` and `\\connect`"));
                }
                if line.bytes.starts_with(b"\\restrict ")
                    || line.bytes.starts_with(b"\\unrestrict ")
                {
                    facts.restrictions.push((line.start, line.end));
                }
            }
            Some(b'C') if line.bytes.starts_with(b"COPY ") => {
                in_rows = line.bytes.trim_ascii_end().ends_with(b" FROM stdin;");
            }
            Some(b'A' | b'G' | b'R' | b'C' | b'S') => {
                let text = String::from_utf8_lossy(line.bytes);
                roles::mentioned(&text, &mut facts.roles);
                facts.needs.mentioned(&text);
            }
            _ => {}
        }
    }
    if let Some(number) = publishers.refused() {
        return Err(publishers::error(&format!("line {number} of `{shown}`")));
    }
    if in_rows || by_pg_dump && !complete {
        return Err(Error::stage(format!(
            "the dump `{shown}` is cut off: its last line is missing"
        ))
        .help("copy or take it again, and compare its size with the original's"));
    }
    Ok(facts)
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

struct Line<'a> {
    bytes: &'a [u8],
    number: u64,
    start: u64,
    end: u64,
}

/// Lines of any length in little memory.
struct Lines<R> {
    stream: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    offset: u64,
}

impl<R: Read> Lines<R> {
    fn new(stream: R) -> Self {
        Self {
            stream: BufReader::with_capacity(256 * 1024, stream),
            line: Vec::new(),
            number: 0,
            offset: 0,
        }
    }

    fn next(&mut self) -> std::io::Result<Option<Line<'_>>> {
        self.line.clear();
        let start = self.offset;
        loop {
            let buffer = self.stream.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            let room = LINE.saturating_sub(self.line.len()).min(taken);
            self.line.extend_from_slice(&buffer[..room]);
            self.stream.consume(taken);
            self.offset += taken as u64;
            if end.is_some() {
                break;
            }
        }
        if self.offset == start {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(Line {
            bytes: &self.line,
            number: self.number,
            start,
            end: self.offset,
        }))
    }
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

/// A dump as a stream, unpacked on a thread of its own; `left_out` are ranges of the unpacked bytes.
pub(super) fn stream(
    path: &Path,
    packing: Packing,
    left_out: Vec<(u64, u64)>,
) -> Result<(Stream, Progress)> {
    let (mut unpacked, progress) = counted(path, packing)?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut offset = 0;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let chunk = match unpacked.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    let chunk = without(&buffer[..read], offset, &left_out);
                    offset += read as u64;
                    Ok(chunk)
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            // An error is the last message; a receiver that is gone wants no more.
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
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

/// The bytes of a chunk that lie in none of the ranges.
fn without(chunk: &[u8], offset: u64, ranges: &[(u64, u64)]) -> Bytes {
    let mut kept = Vec::with_capacity(chunk.len());
    let mut at = offset;
    let end = offset + chunk.len() as u64;
    let mut keep = |from: u64, to: u64| {
        if from < to {
            kept.extend_from_slice(&chunk[(from - offset) as usize..(to - offset) as usize]);
        }
    };
    for (start, stop) in ranges {
        keep(at, (*start).clamp(at, end));
        at = (*stop).clamp(at, end);
    }
    keep(at, end);
    kept.into()
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

    fn look_at(path: &Path, packing: Packing) -> Result<Facts> {
        look(path, packing, counted(path, packing)?.0)
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
        let cut: Vec<&str> = facts
            .restrictions
            .iter()
            .map(|(start, end)| &WHOLE[*start as usize..*end as usize])
            .collect();
        assert_eq!(cut, ["\\restrict a1B\n", "\\unrestrict a1B\n"]);
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

    #[tokio::test]
    async fn a_stream_leaves_ranges_out_and_passes_the_rest() {
        let text: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let ranges = vec![(0, 3), (262_140, 262_150), (600_000, 900_000)];
        let packed = zstd::encode_all(&text[..], 1).expect("packed");
        let file = file(&packed);
        let (mut stream, progress) =
            stream(file.path(), Packing::Zstd, ranges.clone()).expect("a stream");
        let mut result = Vec::new();
        stream.read_to_end(&mut result).await.expect("read");
        let expected: Vec<u8> = (0..text.len() as u64)
            .filter(|at| !ranges.iter().any(|(from, to)| (from..to).contains(&at)))
            .map(|at| text[at as usize])
            .collect();
        assert!(result == expected);
        assert_eq!(progress.done(), progress.total);
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_off_ends_in_an_error() {
        let packed = zstd::encode_all(&vec![7_u8; 3_000_000][..], 1).expect("packed");
        let file = file(&packed[..packed.len() / 2]);
        let (mut stream, _) = stream(file.path(), Packing::Zstd, Vec::new()).expect("a stream");
        let mut result = Vec::new();
        assert!(stream.read_to_end(&mut result).await.is_err());
    }
}
