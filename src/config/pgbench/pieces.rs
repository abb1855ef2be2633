//! What of a script is SQL and what is a command, and the words of a command.

use std::ops::Range;

use crate::sql::{TokenKind, lex};

/// A part of a script: where it is.
pub enum Piece {
    /// Any number of statements.
    Sql(Range<usize>),
    /// A command, its backslash and its line break included.
    Command(Range<usize>),
}

/// The parts of a script in their order, without gap or overlap.
///
/// A backslash outside quotes and comments begins a command, wherever it stands on its line.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let backslash = lex(&text[from..]).find(|token| token.kind == TokenKind::Backslash);
        let Some(backslash) = backslash else {
            pieces.push(Piece::Sql(from..text.len()));
            break;
        };
        let at = from + backslash.span.start;
        pieces.push(Piece::Sql(from..at));
        from = command_end(text, at);
        pieces.push(Piece::Command(at..from));
    }
    pieces
}

/// The end of the line, or of the last one where a `\` before each line break continues it.
fn command_end(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(length) = text[at..].find('\n') {
        let line = &text[at..at + length];
        let end = at + length + 1;
        let continued = line.strip_suffix('\r').unwrap_or(line).ends_with('\\');
        if !continued {
            return end;
        }
        at = end;
    }
    text.len()
}

/// Blanks where a `\` before a line break continues the line, so that every byte keeps its place.
pub fn without_continuations(line: &str) -> String {
    line.replace("\\\r\n", "   ").replace("\\\n", "  ")
}

/// Words between white space, each with its offset.
pub fn words(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut at = 0;
    for word in line.split(|c: char| c.is_ascii_whitespace() || c == '\u{b}') {
        if !word.is_empty() {
            words.push((at, word));
        }
        at += word.len() + 1;
    }
    words
}
