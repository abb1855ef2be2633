//! The end of what a container or a tool wrote.

use std::collections::VecDeque;

/// A longer line is cut: one statement in a server log can be megabytes.
const LINE_BYTES: usize = 2000;

/// The last lines of a stream, in bounded memory.
pub(super) struct Tail {
    limit: usize,
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            lines: VecDeque::new(),
            open: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = LINE_BYTES.saturating_sub(self.open.len());
            self.open.extend_from_slice(&piece[..piece.len().min(room)]);
            if pieces.peek().is_some() {
                self.close();
            }
        }
    }

    pub(super) fn lines(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.close();
        }
        self.lines.into()
    }

    fn close(&mut self) {
        if self.lines.len() == self.limit {
            self.lines.pop_front();
        }
        let line = String::from_utf8_lossy(&self.open);
        self.lines.push_back(line.trim_end_matches('\r').to_owned());
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_whole_lines_in_bounded_memory() {
        let mut tail = Tail::new(2);
        tail.push(b"one\ntwo\r\nth");
        tail.push(b"ree\nfour");
        assert_eq!(tail.lines(), ["three", "four"]);
        let mut tail = Tail::new(2);
        for _ in 0..1000 {
            tail.push(&[b'x'; 1000]);
        }
        assert_eq!(tail.lines(), ["x".repeat(LINE_BYTES)]);
    }
}
