//! Which tokens a text of SQL is made of, as PostgreSQL's own scanner would see them.
//!
//! Follows `src/backend/parser/scan.l` and `src/fe_utils/psqlscan.l` with
//! `standard_conforming_strings = on`. The tokens cover the text without gap or overlap; what is cut
//! off by the end of the text is a token too, so lexing never fails. Must not know what any word means.

use std::ops::Range;

/// What a [`Token`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// White space, and a byte order mark where a token could begin (psql skips it as well).
    Whitespace,
    /// `-- …` up to, and without, the end of the line.
    LineComment,
    /// `/* … */`, which nests.
    BlockComment,
    /// A name or a keyword as typed without quotes.
    Identifier,
    /// `"…"` or `U&"…"`.
    QuotedIdentifier,
    /// `'…'`, `E'…'`, `U&'…'` or `N'…'`, with the pieces that continue it on later lines.
    String,
    /// `$tag$…$tag$`.
    DollarString,
    /// `B'…'` or `X'…'`.
    BitString,
    /// A number without its sign.
    Number,
    /// `$1`.
    Parameter,
    /// A run of operator characters.
    Operator,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `;`
    Semicolon,
    /// `,` `.` `..` `[` `]` `:` `::` `:=`
    Punctuation,
    /// `\`, which no SQL has outside quotes: a psql command begins here.
    Backslash,
    /// Any other single character; the server would refuse it.
    Other,
    /// Opened, and never closed: reaches to the end of the text.
    Unterminated(Unterminated),
}

impl TokenKind {
    /// True for white space and comments, which mean nothing to the server.
    pub fn is_trivia(self) -> bool {
        matches!(
            self,
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment
        )
    }
}

/// What was opened and never closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unterminated {
    /// A string of any sort in single quotes.
    String,
    /// A name in double quotes.
    QuotedIdentifier,
    /// A dollar-quoted string.
    DollarString,
    /// A block comment.
    Comment,
}

/// One token and the bytes it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is, in bytes of the text that was lexed.
    pub span: Range<usize>,
}

/// The tokens of `text`, white space and comments among them.
///
/// ```
/// use lockproof::sql::{lex, TokenKind};
/// let kinds: Vec<_> = lex("a$1$b=$1").map(|token| token.kind).collect();
/// assert_eq!(kinds, [TokenKind::Identifier, TokenKind::Operator, TokenKind::Parameter]);
/// ```
pub fn lex(text: &str) -> Lexer<'_> {
    Lexer { text, at: 0 }
}

/// Iterates over the tokens of a text; made by [`lex()`].
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        let (kind, end) = self.token(self.byte(start)?);
        self.at = end;
        Some(Token {
            kind,
            span: start..end,
        })
    }
}

impl Lexer<'_> {
    /// Goes on at `offset`, which has to be the first byte of a character.
    pub(super) fn seek(&mut self, offset: usize) {
        self.at = offset;
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn starts_with(&self, at: usize, what: &str) -> bool {
        self.text.as_bytes()[at..].starts_with(what.as_bytes())
    }

    /// The first offset from `at` on whose byte is not one of `accepted`.
    fn skip(&self, at: usize, accepted: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[at..]
            .iter()
            .position(|&byte| !accepted(byte))
            .map_or(self.text.len(), |length| at + length)
    }

    fn token(&self, first: u8) -> (TokenKind, usize) {
        let at = self.at;
        let second = self.byte(at + 1);
        match first {
            _ if is_space(first) => (TokenKind::Whitespace, self.skip(at, is_space)),
            _ if self.starts_with(at, "\u{feff}") => (TokenKind::Whitespace, at + 3),
            b'-' if second == Some(b'-') => (TokenKind::LineComment, self.line_comment(at)),
            b'/' if second == Some(b'*') => self.block_comment(at),
            b'\'' => self.string(at + 1, Escapes::None),
            b'"' => self.quoted_identifier(at + 1),
            b'e' | b'E' if second == Some(b'\'') => self.string(at + 2, Escapes::Backslash),
            b'n' | b'N' if second == Some(b'\'') => self.string(at + 2, Escapes::None),
            b'b' | b'B' | b'x' | b'X' if second == Some(b'\'') => {
                match self.string(at + 2, Escapes::None) {
                    (TokenKind::String, end) => (TokenKind::BitString, end),
                    unterminated => unterminated,
                }
            }
            b'u' | b'U' if self.starts_with(at + 1, "&'") => self.string(at + 3, Escapes::None),
            b'u' | b'U' if self.starts_with(at + 1, "&\"") => self.quoted_identifier(at + 3),
            _ if is_identifier_start(first) => {
                (TokenKind::Identifier, self.skip(at, is_identifier_part))
            }
            b'0'..=b'9' => (TokenKind::Number, self.number(at)),
            b'.' if second.is_some_and(|byte| byte.is_ascii_digit()) => {
                (TokenKind::Number, self.number(at))
            }
            b'$' => self.dollar(at),
            b'(' => (TokenKind::LeftParen, at + 1),
            b')' => (TokenKind::RightParen, at + 1),
            b';' => (TokenKind::Semicolon, at + 1),
            b'\\' => (TokenKind::Backslash, at + 1),
            b'.' if second == Some(b'.') => (TokenKind::Punctuation, at + 2),
            b':' if matches!(second, Some(b':' | b'=')) => (TokenKind::Punctuation, at + 2),
            b',' | b'.' | b'[' | b']' | b':' => (TokenKind::Punctuation, at + 1),
            _ if is_operator(first) => (TokenKind::Operator, self.operator(at)),
            // Everything that is not ASCII begins an identifier, so this is one byte long.
            _ => (TokenKind::Other, at + 1),
        }
    }

    fn line_comment(&self, at: usize) -> usize {
        self.skip(at, |byte| !is_newline(byte))
    }

    fn block_comment(&self, opened: usize) -> (TokenKind, usize) {
        let mut at = opened + 2;
        let mut depth = 1_usize;
        while at < self.text.len() {
            if self.starts_with(at, "/*") {
                depth += 1;
                at += 2;
            } else if self.starts_with(at, "*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return (TokenKind::BlockComment, at);
                }
            } else {
                at += 1;
            }
        }
        self.unterminated(Unterminated::Comment)
    }

    /// `at` is the first byte within the quotes.
    fn string(&self, mut at: usize, escapes: Escapes) -> (TokenKind, usize) {
        loop {
            match self.byte(at) {
                None => return self.unterminated(Unterminated::String),
                Some(b'\\') if escapes == Escapes::Backslash => at += 2,
                Some(b'\'') if self.byte(at + 1) == Some(b'\'') => at += 2,
                Some(b'\'') => match self.continuation(at + 1) {
                    Some(inside) => at = inside,
                    None => return (TokenKind::String, at + 1),
                },
                Some(_) => at += 1,
            }
        }
    }

    /// Where a string whose quote was closed just before `at` goes on, which takes a line break on
    /// the way. It goes on with the escapes that it began with, so cutting it here would misread it.
    fn continuation(&self, mut at: usize) -> Option<usize> {
        let mut broken = false;
        loop {
            match self.byte(at)? {
                b'\'' if broken => return Some(at + 1),
                b'-' if self.byte(at + 1) == Some(b'-') => at = self.line_comment(at),
                byte if is_space(byte) => {
                    broken |= is_newline(byte);
                    at += 1;
                }
                _ => return None,
            }
        }
    }

    fn quoted_identifier(&self, mut at: usize) -> (TokenKind, usize) {
        loop {
            match self.byte(at) {
                None => return self.unterminated(Unterminated::QuotedIdentifier),
                Some(b'"') if self.byte(at + 1) == Some(b'"') => at += 2,
                Some(b'"') => return (TokenKind::QuotedIdentifier, at + 1),
                Some(_) => at += 1,
            }
        }
    }

    fn dollar(&self, opened: usize) -> (TokenKind, usize) {
        let digits = self.skip(opened + 1, |byte| byte.is_ascii_digit());
        if digits > opened + 1 {
            return (TokenKind::Parameter, digits);
        }
        let tag = self.skip(opened + 1, |byte| is_identifier_part(byte) && byte != b'$');
        if self.byte(tag) != Some(b'$') {
            return (TokenKind::Other, opened + 1);
        }
        let inside = tag + 1;
        let delimiter = &self.text[opened..inside];
        match self.text[inside..].find(delimiter) {
            Some(length) => (TokenKind::DollarString, inside + length + delimiter.len()),
            None => self.unterminated(Unterminated::DollarString),
        }
    }

    fn number(&self, at: usize) -> usize {
        if self.byte(at) == Some(b'0') {
            let digits: Option<fn(u8) -> bool> = match self.byte(at + 1) {
                Some(b'x' | b'X') => Some(|byte| byte.is_ascii_hexdigit()),
                Some(b'o' | b'O') => Some(|byte| matches!(byte, b'0'..=b'7')),
                Some(b'b' | b'B') => Some(|byte| matches!(byte, b'0' | b'1')),
                _ => None,
            };
            if let Some(digits) = digits {
                let end = self.digits(at + 2, digits);
                if end > at + 2 {
                    return end;
                }
            }
        }
        let mut end = self.digits(at, |byte| byte.is_ascii_digit());
        // `1..10` is a range in PL/pgSQL: two numbers.
        if self.byte(end) == Some(b'.') && self.byte(end + 1) != Some(b'.') {
            end = self.digits(end + 1, |byte| byte.is_ascii_digit());
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
            let exponent = end + 1 + sign;
            let exponent_end = self.digits(exponent, |byte| byte.is_ascii_digit());
            if exponent_end > exponent {
                end = exponent_end;
            }
        }
        end
    }

    /// The end of a run of digits, which may be grouped by single underscores.
    fn digits(&self, mut at: usize, digit: fn(u8) -> bool) -> usize {
        loop {
            match self.byte(at) {
                Some(b'_') if self.byte(at + 1).is_some_and(digit) => at += 2,
                Some(byte) if digit(byte) => at += 1,
                _ => return at,
            }
        }
    }

    fn operator(&self, at: usize) -> usize {
        let longest = self.skip(at, is_operator);
        let run = &self.text.as_bytes()[at..longest];
        let mut length = run
            .windows(2)
            .position(|pair| pair == b"--" || pair == b"/*")
            .unwrap_or(run.len());
        // `=-` is two operators, but `@-` is one.
        let keeps_sign = |byte: &u8| b"~!@#^&|`?%".contains(byte);
        while length > 1
            && matches!(run[length - 1], b'+' | b'-')
            && !run[..length - 1].iter().any(keeps_sign)
        {
            length -= 1;
        }
        at + length
    }

    fn unterminated(&self, what: Unterminated) -> (TokenKind, usize) {
        (TokenKind::Unterminated(what), self.text.len())
    }
}

/// Whether a backslash hides the quote behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    Backslash,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_identifier_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_identifier_part(byte: u8) -> bool {
    is_identifier_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens without trivia, each as its kind and its text.
    fn tokens(text: &str) -> Vec<(TokenKind, &str)> {
        lex(text)
            .filter(|token| !token.kind.is_trivia())
            .map(|token| (token.kind, &text[token.span]))
            .collect()
    }

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|(_, text)| text).collect()
    }

    use TokenKind::*;

    #[test]
    fn strings_of_every_sort_end_at_their_own_quote() {
        for (text, kind) in [
            ("'a''b'", String),
            ("'a\\'", String),
            ("e'a\\'b'", String),
            ("E'a''b\\\\'", String),
            ("N'x'", String),
            ("U&'d\\0061'", String),
            ("B'01'", BitString),
            ("x'1F'", BitString),
            ("$$a;'\"$$", DollarString),
            ("$é1$ $ $e$ $é1 $é1$", DollarString),
            ("\"a\"\"b\"", QuotedIdentifier),
            ("u&\"d\\0061\"", QuotedIdentifier),
        ] {
            assert_eq!(
                tokens(&format!("{text};")),
                [(kind, text), (Semicolon, ";")]
            );
        }
    }

    #[test]
    fn a_prefix_counts_only_where_a_token_begins() {
        assert_eq!(texts(r"type'a\' b"), ["type", r"'a\'", "b"]);
        assert_eq!(
            texts("u&'a' u& 'a' u&a"),
            ["u&'a'", "u", "&", "'a'", "u", "&", "a"]
        );
        assert_eq!(texts("e 'a\\'"), ["e", "'a\\'"]);
    }

    #[test]
    fn a_string_goes_on_across_a_line_break_with_its_own_escapes() {
        assert_eq!(texts("e'a' \n 'b\\'c' d"), ["e'a' \n 'b\\'c'", "d"]);
        assert_eq!(texts("'a' -- c\n\r\t'b'"), ["'a' -- c\n\r\t'b'"]);
        assert_eq!(texts("'a' 'b'"), ["'a'", "'b'"]);
        assert_eq!(texts("'a' /* \n */ 'b'"), ["'a'", "'b'"]);
        assert_eq!(texts("'a'\n- 'b'"), ["'a'", "-", "'b'"]);
        assert_eq!(texts("'a' -- 'b'"), ["'a'"]);
    }

    #[test]
    fn dollars_open_a_quote_only_where_no_identifier_runs_into_them() {
        assert_eq!(texts("a$1$b"), ["a$1$b"]);
        assert_eq!(texts("as$$x"), ["as$$x"]);
        assert_eq!(texts("$1$$;$$"), ["$1", "$$;$$"]);
        assert_eq!(texts("$1a$"), ["$1", "a$"]);
        assert_eq!(texts("$a b$"), ["$", "a", "b$"]);
        assert_eq!(texts("$a$ $A$ $a$"), ["$a$ $A$ $a$"]);
        assert_eq!(texts("$a$ $b$a$ c"), ["$a$ $b$a$", "c"]);
        assert_eq!(texts("1$$a$$"), ["1", "$$a$$"]);
    }

    #[test]
    fn comments_nest_and_cut_operators() {
        assert_eq!(texts("/* a /* b */ ; */ c"), ["c"]);
        assert_eq!(texts("/*/ a */ b"), ["b"]);
        assert_eq!(texts("/***/ b"), ["b"]);
        assert_eq!(texts("1+/* a */2"), ["1", "+", "2"]);
        assert_eq!(texts("1+--a\n2"), ["1", "+", "2"]);
        assert_eq!(texts("*/"), ["*/"]);
        assert_eq!(texts("--a\rb"), ["b"]);
    }

    #[test]
    fn operators_lose_a_trailing_sign_unless_they_cannot_be_standard_ones() {
        assert_eq!(texts("a=-1"), ["a", "=", "-", "1"]);
        assert_eq!(texts("a@-1"), ["a", "@-", "1"]);
        assert_eq!(texts("a<>+-1"), ["a", "<>", "+", "-", "1"]);
        assert_eq!(texts("a::b:=c=>d"), ["a", "::", "b", ":=", "c", "=>", "d"]);
    }

    #[test]
    fn numbers() {
        for number in [
            "1",
            "1.5",
            ".5",
            "1.",
            "1e10",
            "1.e-3",
            "1E+3",
            "1_000",
            "0x1F",
            "0o17",
            "0b10",
            "0xdead_beef",
        ] {
            assert_eq!(tokens(number), [(Number, number)]);
        }
        assert_eq!(texts("1..10"), ["1", "..", "10"]);
        assert_eq!(texts("1a 1e 1__0"), ["1", "a", "1", "e", "1", "__0"]);
        assert_eq!(texts("0xg"), ["0", "xg"]);
        assert_eq!(texts("1e'a\\''"), ["1", "e'a\\''"]);
    }

    #[test]
    fn what_is_never_closed_reaches_to_the_end() {
        for (text, what) in [
            ("'a''", super::Unterminated::String),
            ("e'a\\'", super::Unterminated::String),
            ("e'a\\", super::Unterminated::String),
            ("e'a\\é", super::Unterminated::String),
            ("b'0", super::Unterminated::String),
            ("'a'\n'b", super::Unterminated::String),
            ("\"a\"\"", super::Unterminated::QuotedIdentifier),
            ("$$a$", super::Unterminated::DollarString),
            ("$a$ $A$", super::Unterminated::DollarString),
            ("/* /* */", super::Unterminated::Comment),
            ("/*/", super::Unterminated::Comment),
        ] {
            assert_eq!(tokens(text), [(Unterminated(what), text)]);
        }
    }

    #[test]
    fn a_byte_order_mark_is_white_space_unless_within_an_identifier() {
        assert_eq!(texts("\u{feff}select"), ["select"]);
        assert_eq!(texts("a\u{feff}b"), ["a\u{feff}b"]);
    }
}
