//! The scanner: which quotes, comments and words a line is made of, to `psql`.

use memchr::{memchr, memchr2};

use super::refused::{self, Cause};
use super::settings::{Settings, question};
use super::statement::{Statement, Token};
use super::{Closed, Session};

/// What a line begins in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Outside of quotes.
    Plain,
    /// `-- …`; ends with the line.
    LineComment,
    /// `/* … */`, with how many more are open in it.
    Comment(u64),
    /// `"…"`.
    Name,
    /// `'…'` where a backslash is one.
    Text,
    /// `'…'` where a backslash hides the next character.
    Escaped,
    /// `B'…'` and `X'…'`, which end at the first quote.
    Bits,
    /// `$tag$…$tag$`, by its whole delimiter.
    Dollar(Vec<u8>),
}

/// Reads line after line.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    state: State,
    statement: Statement,
    settings: Settings,
    /// `standard_conforming_strings` as it was when `psql` began with this line.
    standard_strings: bool,
    knows_bodies: bool,
    asks: bool,
    /// The statement at hand was asked for, or needs no question.
    was_asked: bool,
    /// `COPY` statements that ended on this line.
    copies: u64,
    /// Where a question goes in the part that was scanned last.
    pub questions: Vec<(usize, String)>,
}

/// What a step did: how far it read, or that it has to see more of the line.
type Step = Result<Option<usize>, Cause>;

impl Scanner {
    pub(super) fn new(session: Session) -> Self {
        Self {
            state: State::Plain,
            statement: Statement::new(),
            settings: Settings::new(session.standard_strings),
            standard_strings: session.standard_strings,
            knows_bodies: session.knows_bodies,
            asks: session.closed_by == Closed::Asking,
            was_asked: false,
            copies: 0,
            questions: Vec::new(),
        }
    }

    /// Outside of every statement, quote and comment.
    pub(super) fn is_between_statements(&self) -> bool {
        self.state == State::Plain && self.statement.is_empty()
    }

    /// Ends a line; gives how many `COPY` statements of it take rows now.
    pub(super) fn end_line(&mut self) -> u64 {
        if self.state == State::LineComment {
            self.state = State::Plain;
        }
        self.standard_strings = self.settings.standard_strings;
        std::mem::take(&mut self.copies)
    }

    /// Reads a part of a line; gives how much of it. All of it where the line ends with it (`whole`).
    pub(super) fn scan(&mut self, text: &[u8], whole: bool) -> Result<usize, Cause> {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let step = match &self.state {
                State::Plain => self.plain(rest, at, whole)?,
                State::LineComment => Some(match memchr(b'\r', rest) {
                    Some(end) => {
                        self.state = State::Plain;
                        end
                    }
                    None => rest.len(),
                }),
                State::Comment(_) => self.comment(rest, whole),
                State::Name => self.quoted(rest, whole, b'"', true),
                State::Text => self.quoted(rest, whole, b'\'', true),
                State::Bits => self.quoted(rest, whole, b'\'', false),
                State::Escaped => self.escaped(rest, whole),
                State::Dollar(_) => self.dollar(rest, whole),
            };
            match step {
                Some(read) => at += read,
                None => break,
            }
        }
        Ok(at)
    }

    fn comment(&mut self, text: &[u8], whole: bool) -> Option<usize> {
        let State::Comment(depth) = &mut self.state else {
            return Some(0);
        };
        let Some(found) = memchr2(b'*', b'/', text) else {
            return Some(text.len());
        };
        match (text[found], text.get(found + 1)) {
            (b'/', Some(b'*')) => *depth += 1,
            (b'*', Some(b'/')) if *depth > 0 => *depth -= 1,
            (b'*', Some(b'/')) => self.state = State::Plain,
            (_, None) if !whole => return (found > 0).then_some(found),
            _ => return Some(found + 1),
        }
        Some(found + 2)
    }

    /// In a quote that a doubled one does not end, where there are such.
    fn quoted(&mut self, text: &[u8], whole: bool, quote: u8, doubles: bool) -> Option<usize> {
        let Some(found) = memchr(quote, text) else {
            return Some(text.len());
        };
        match text.get(found + 1) {
            Some(next) if doubles && *next == quote => return Some(found + 2),
            None if !whole => return (found > 0).then_some(found),
            _ => self.state = State::Plain,
        }
        Some(found + 1)
    }

    fn escaped(&mut self, text: &[u8], whole: bool) -> Option<usize> {
        match memchr2(b'\'', b'\\', text) {
            None => Some(text.len()),
            // At the end of a line it hides nothing of the next one.
            Some(found) if text[found] == b'\\' => match text.len() > found + 1 || whole {
                true => Some((found + 2).min(text.len())),
                false => (found > 0).then_some(found),
            },
            Some(_) => self.quoted(text, whole, b'\'', true),
        }
    }

    fn dollar(&mut self, text: &[u8], whole: bool) -> Option<usize> {
        let State::Dollar(delimiter) = &self.state else {
            return Some(0);
        };
        let Some(found) = memchr(b'$', text) else {
            return Some(text.len());
        };
        if text[found..].starts_with(delimiter) {
            let end = found + delimiter.len();
            self.state = State::Plain;
            return Some(end);
        }
        if !whole && text.len() - found < delimiter.len() {
            return (found > 0).then_some(found);
        }
        Some(found + 1)
    }

    /// One token outside of quotes; `place` is where it is in the part.
    fn plain(&mut self, text: &[u8], place: usize, whole: bool) -> Step {
        // What a token's end depends on may be still to come.
        let unseen = |length: usize| !whole && length >= text.len();
        let next = text.get(1).copied();
        match text[0] {
            b' ' | b'\t' | 0x0b | 0x0c => return Ok(Some(1)),
            b'\r' if unseen(1) => return Ok(None),
            b'\r' if next.is_none() => return Ok(Some(1)),
            b'\r' => return Err(Cause::CarriageReturn),
            b'\\' => {
                // Enough of it for its name.
                return if whole || text.len() > 64 {
                    Err(refused::command(text))
                } else {
                    Ok(None)
                };
            }
            b'-' | b'/' | b':' if unseen(1) => return Ok(None),
            b'-' if next == Some(b'-') => {
                self.state = State::LineComment;
                return Ok(Some(2));
            }
            b'/' if next == Some(b'*') => {
                self.ask(place);
                self.state = State::Comment(0);
                return Ok(Some(2));
            }
            b';' if self.statement.is_empty() => return Ok(Some(1)),
            _ => {}
        }
        let step = match text[0] {
            b';' if self.statement.can_end() => {
                self.copies += u64::from(self.statement.takes_rows());
                self.settings.after(&self.statement.words)?;
                let first = self.statement.words.first().map(Vec::as_slice);
                // These run nothing of the dump, and some settings have to come first in a transaction.
                self.was_asked = matches!(first, Some(b"begin" | b"start" | b"set"));
                self.statement = Statement::new();
                return Ok(Some(1));
            }
            b';' => {
                self.statement.semicolon_within();
                return Ok(Some(1));
            }
            byte if is_word_start(byte) => self.word(text, place, whole)?,
            b'0'..=b'9' => self.number(text, place, whole)?,
            b'.' if unseen(1) => None,
            b'.' if next.is_some_and(|next| next.is_ascii_digit()) => {
                self.number(text, place, whole)?
            }
            b'\'' => {
                self.open_text(place);
                self.take(place, Token::Quoted(content(&text[1..], b'\'')))?;
                Some(1)
            }
            b'"' => {
                self.state = State::Name;
                self.take(place, Token::Quoted(content(&text[1..], b'"')))?;
                Some(1)
            }
            b'$' => self.dollars(text, place, whole)?,
            b':' => self.colon(text, place, whole)?,
            byte => {
                self.take(place, Token::Mark(byte))?;
                match byte {
                    b'(' => self.statement.parens += 1,
                    b')' => self.statement.parens = self.statement.parens.saturating_sub(1),
                    _ => {}
                }
                Some(1)
            }
        };
        Ok(step)
    }

    /// `'` without a letter before it.
    fn open_text(&mut self, place: usize) {
        self.ask(place);
        self.state = if self.standard_strings {
            State::Text
        } else {
            State::Escaped
        };
    }

    fn word(&mut self, text: &[u8], place: usize, whole: bool) -> Step {
        let length = run(text, is_word_part);
        // `U&'` is the longest of what may follow.
        if !whole && length + 2 > text.len() {
            return Ok(None);
        }
        let word = &text[..length];
        let quote = |at: usize| text.get(at).copied();
        let opens = match (word, quote(length)) {
            (b"e" | b"E", Some(b'\'')) => Some((State::Escaped, 2)),
            (b"b" | b"B" | b"x" | b"X", Some(b'\'')) => Some((State::Bits, 2)),
            (b"u" | b"U", Some(b'&')) => match quote(2) {
                Some(b'\'') => Some((State::Text, 3)),
                Some(b'"') => Some((State::Name, 3)),
                _ => None,
            },
            _ => None,
        };
        if let Some((state, read)) = opens {
            let ending = if state == State::Name { b'"' } else { b'\'' };
            self.take(place, Token::Quoted(content(&text[read..], ending)))?;
            self.state = state;
            return Ok(Some(read));
        }
        self.take(place, Token::Word(word))?;
        // `N'` and `U&` begin tokens of their own, which `psql` does not count as words.
        let is_counted = !matches!(
            (word, quote(length)),
            (b"n" | b"N", Some(b'\'')) | (b"u" | b"U", Some(b'&'))
        );
        if self.knows_bodies && is_counted {
            self.statement.identifier(word);
        }
        Ok(Some(length))
    }

    /// A number and the letters that run into it, which versions read as one word, two, or a prefix of a quote.
    fn number(&mut self, text: &[u8], place: usize, whole: bool) -> Step {
        let length = run(text, |byte| {
            is_word_part(byte) && byte != b'$' || byte == b'.'
        });
        if !whole && length + 2 > text.len() {
            return Ok(None);
        }
        let number = &text[..length];
        let has_letters = number
            .iter()
            .any(|byte| !byte.is_ascii_digit() && *byte != b'.');
        let last = number[length - 1];
        let second = text.get(length + 1).copied();
        let runs_on = match text.get(length) {
            Some(b'\'' | b'"' | b'$') => true,
            Some(b'+' | b'-') => {
                matches!(last, b'e' | b'E') && !second.is_some_and(|byte| byte.is_ascii_digit())
            }
            _ => false,
        };
        if has_letters && (runs_on || !is_number(number)) {
            return Err(Cause::Number);
        }
        self.take(place, Token::Word(number))?;
        Ok(Some(length))
    }

    fn dollars(&mut self, text: &[u8], place: usize, whole: bool) -> Step {
        let length = 1 + run(&text[1..], |byte| is_word_part(byte) && byte != b'$');
        if !whole && length >= text.len() {
            return Ok(None);
        }
        let digits = run(&text[1..], |byte| byte.is_ascii_digit());
        if digits > 0 {
            if length > 1 + digits || text.get(length) == Some(&b'$') {
                return Err(Cause::Number);
            }
            self.take(place, Token::Mark(b'$'))?;
            return Ok(Some(length));
        }
        let delimits = text.get(length) == Some(&b'$');
        if delimits {
            self.take(place, Token::Quoted(b""))?;
            self.state = State::Dollar(text[..=length].to_vec());
            return Ok(Some(length + 1));
        }
        self.take(place, Token::Mark(b'$'))?;
        Ok(Some(1))
    }

    /// A colon, perhaps of a variable: `:name`, `:'name'`, `:"name"`.
    fn colon(&mut self, text: &[u8], place: usize, whole: bool) -> Step {
        let is_part = |byte: u8| is_word_part(byte) && byte != b'$';
        let quote = match text.get(1) {
            Some(b':' | b'=') => {
                self.take(place, Token::Mark(b':'))?;
                return Ok(Some(2));
            }
            // `:{?name}`, which tells whether there is such a variable.
            Some(b'{') => return Err(Cause::Variable(":{".to_owned())),
            Some(quote @ (b'\'' | b'"')) => Some(*quote),
            _ => None,
        };
        let from = 1 + usize::from(quote.is_some());
        let end = from + run(&text[from..], is_part);
        if !whole && end >= text.len() {
            return Ok(None);
        }
        self.take(place, Token::Mark(b':'))?;
        let is_closed = quote.is_none_or(|quote| text.get(end) == Some(&quote));
        if end == from || !is_closed {
            return Ok(Some(1));
        }
        let end = end + usize::from(quote.is_some());
        if is_variable(&text[from..]) {
            return Err(Cause::Variable(refused::plain(&text[..end])));
        }
        // To `psql` one token, also where it has no such variable: `:e'` opens no escaped quote.
        Ok(Some(end))
    }

    fn take(&mut self, place: usize, token: Token<'_>) -> Result<(), Cause> {
        self.ask(place);
        self.statement.take(token)
    }

    /// Has the server asked at the start of a statement.
    fn ask(&mut self, place: usize) {
        let asks = self.asks && !self.was_asked && self.statement.is_empty();
        if asks {
            let question = question(self.settings.standard_strings);
            self.questions.push((place, question));
            self.was_asked = true;
        }
    }
}

/// Variables that `psql` itself has are in capitals, and so will be those to come; a script cannot make others.
fn is_variable(text: &[u8]) -> bool {
    const SHORTEST: usize = 4;
    let name = &text[..run(text, |byte| is_word_part(byte) && byte != b'$')];
    name.len() >= SHORTEST
        && name
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
        && name.iter().any(u8::is_ascii_uppercase)
}

/// A number with letters in it, as any version has them: `1e5`, `1_000`, `0x1F`.
fn is_number(text: &[u8]) -> bool {
    let (digits, letters): (&[u8], &[u8]) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (digits, b"abcdefABCDEF_"),
        [b'0', b'o' | b'O', digits @ ..] => (digits, b"_"),
        [b'0', b'b' | b'B', digits @ ..] => (digits, b"_"),
        _ => (text, b"eE_."),
    };
    digits
        .iter()
        .all(|byte| byte.is_ascii_digit() || letters.contains(byte))
}

/// What a quote holds that is closed near its start; else nothing.
fn content(text: &[u8], quote: u8) -> &[u8] {
    const NEAR: usize = 64;
    let near = &text[..text.len().min(NEAR)];
    memchr(quote, near).map_or(b"", |end| &near[..end])
}

fn run(text: &[u8], accepted: impl Fn(u8) -> bool) -> usize {
    text.iter()
        .position(|byte| !accepted(*byte))
        .unwrap_or(text.len())
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}
