//! What a client program writes: its last lines are kept, and each can be heard as it comes.

use std::collections::VecDeque;

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

#[cfg(test)]
mod tests {
    use super::*;

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
