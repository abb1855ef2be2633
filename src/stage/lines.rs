//! What a program writes: its last lines are kept, and each can be heard as it comes, in memory that no program can
//! make grow, whatever it writes and however long its lines are.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::TOOL_LINES;

/// How much of each line is kept.
const KEPT_BYTES: usize = 4096;

/// Whether a line that was heard is kept with the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is: an error, or nothing that was waited for.
    Keep,
    /// It is, in these words: other lines had got between its own.
    KeepAs(String),
    /// It told of progress: kept, thousands of its kind would push the errors out.
    Drop,
}

/// Hears each line while a program runs.
pub type Ear<'a> = &'a mut (dyn FnMut(&str) -> Heard + Send);

/// Bytes in, the last lines out.
pub(super) struct Lines<'a> {
    ear: Ear<'a>,
    kept: VecDeque<String>,
    open: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// None yet.
    pub fn new(ear: Ear<'a>) -> Self {
        Self {
            ear,
            kept: VecDeque::new(),
            open: Vec::new(),
        }
    }

    /// The next bytes, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = KEPT_BYTES.saturating_sub(self.open.len());
            self.open.extend_from_slice(&piece[..piece.len().min(room)]);
            if pieces.peek().is_some() {
                self.close();
            }
        }
    }

    /// The last lines.
    pub fn end(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.close();
        }
        self.kept.into()
    }

    fn close(&mut self) {
        let line = String::from_utf8_lossy(&self.open).trim_end().to_owned();
        self.open.clear();
        let line = match (self.ear)(&line) {
            Heard::Drop => return,
            Heard::KeepAs(meant) => meant,
            Heard::Keep => line,
        };
        if self.kept.len() == TOOL_LINES {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }
}

/// The lines of a pipe, each cut at a width.
#[derive(Debug)]
pub(crate) struct Cut<R> {
    source: BufReader<R>,
    width: usize,
    open: Vec<u8>,
    /// Bytes of the open line, also those that were cut off.
    length: u64,
}

impl<R: AsyncRead + Unpin> Cut<R> {
    /// At so many bytes; where that is inside a character, the character is marked as broken.
    pub fn at(width: usize, pipe: R) -> Self {
        Self {
            source: BufReader::new(pipe),
            width,
            open: Vec::new(),
            length: 0,
        }
    }

    /// The next line, without its end; None: there is no more. Dropped before it is done, it loses nothing.
    ///
    /// # Errors
    /// The pipe cannot be read.
    pub async fn next(&mut self) -> std::io::Result<Option<String>> {
        loop {
            let bytes = self.source.fill_buf().await?;
            if bytes.is_empty() {
                return Ok((self.length > 0).then(|| self.close()));
            }
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            let room = self.width.saturating_sub(self.open.len());
            self.open.extend_from_slice(&piece[..piece.len().min(room)]);
            let read = piece.len() + usize::from(end.is_some());
            self.length += read as u64;
            self.source.consume(read);
            if end.is_some() {
                return Ok(Some(self.close()));
            }
        }
    }

    fn close(&mut self) -> String {
        self.length = 0;
        let line = String::from_utf8_lossy(&self.open).into_owned();
        self.open.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// So many bytes without an end of line, made while they are read.
    struct Endless(u64);

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let length = usize::try_from(self.0)
                .map_or(buffer.remaining(), |left| left.min(buffer.remaining()));
            buffer.initialize_unfilled_to(length).fill(0xc3);
            buffer.advance(length);
            self.0 -= length as u64;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_pipe_s_line_is_cut_and_the_next_one_is_whole() {
        let text = b"one\n\ntwenty-two letters are\r\nla\xffst".as_slice();
        let mut lines = Cut::at(10, text);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("read") {
            all.push(line);
        }
        assert_eq!(all, ["one", "", "twenty-two", "la\u{fffd}st"]);
    }

    #[tokio::test]
    async fn a_pipe_s_line_without_end_takes_no_memory() {
        let mut lines = Cut::at(2000, Endless(64 << 20));
        let line = lines.next().await.expect("read").expect("a line");
        assert_eq!(line.chars().count(), 2000);
        assert!(lines.open.capacity() <= 4096, "{}", lines.open.capacity());
        assert_eq!(lines.next().await.expect("read"), None);
    }

    #[test]
    fn the_last_lines_are_kept_however_the_bytes_are_cut() {
        let text: String = (0..100).map(|at| format!("line {at}\n")).collect();
        for size in [1, 7, 1000] {
            let mut keep = |_: &str| Heard::Keep;
            let mut lines = Lines::new(&mut keep);
            for chunk in text.as_bytes().chunks(size) {
                lines.push(chunk);
            }
            lines.push(b"the end");
            let kept = lines.end();
            assert_eq!(kept.len(), TOOL_LINES);
            assert_eq!(kept.last().map(String::as_str), Some("the end"));
            assert_eq!(kept[0], "line 61");
        }
    }

    #[test]
    fn what_tells_of_progress_does_not_push_an_error_out() {
        let mut heard = 0;
        let mut ear = |line: &str| {
            heard += 1;
            if line.starts_with("item") {
                Heard::Drop
            } else {
                Heard::Keep
            }
        };
        let mut lines = Lines::new(&mut ear);
        lines.push(b"error: it broke\n");
        for _ in 0..10 * TOOL_LINES {
            lines.push(b"item\n");
        }
        assert_eq!(lines.end(), ["error: it broke"]);
        assert_eq!(heard, 10 * TOOL_LINES + 1);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut keep = |_: &str| Heard::Keep;
        let mut lines = Lines::new(&mut keep);
        for _ in 0..1000 {
            lines.push(&[b'x'; 1000]);
        }
        assert_eq!(lines.end()[0].len(), KEPT_BYTES);
    }
}
