//! What is known of the statement at hand: whether it takes rows, and which settings it changes.

use super::refused::Cause;

/// How many words of a statement are kept, and how much of each.
const WORDS: usize = 64;
const LENGTH: usize = 64;

/// A token, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name or keyword without quotes.
    Word(&'a [u8]),
    /// What a quote on one line holds; empty for any other quote.
    Quoted(&'a [u8]),
    /// Anything else.
    Mark(u8),
}

/// How much of `COPY … FROM stdin` was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    Nothing,
    Copy,
    /// The first `FROM` outside parentheses: no table is called so without quotes.
    From,
    Stdin,
    /// Another statement, or a `COPY` of another sort.
    No,
}

/// A statement, from its first token to the semicolon that has `psql` send it.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    rows: Rows,
    /// Its first words, as [`Settings::after`](super::settings::Settings::after) takes them.
    pub words: Vec<Vec<u8>>,
    /// A semicolon came that `psql` takes for a part of it; what is next could be a statement to the server.
    within: bool,
    /// The words that tell `psql` 14 and later of a function's body.
    heads: [u8; 4],
    identifiers: usize,
    pub parens: u64,
    pub bodies: u64,
}

impl Statement {
    pub(super) fn new() -> Self {
        Self {
            rows: Rows::Nothing,
            words: Vec::new(),
            within: false,
            heads: [0; 4],
            identifiers: 0,
            parens: 0,
            bodies: 0,
        }
    }

    /// Nothing but comments came of it.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == Rows::Nothing && !self.within && self.parens == 0 && self.bodies == 0
    }

    pub(super) fn takes_rows(&self) -> bool {
        self.rows == Rows::Stdin
    }

    /// True where a semicolon ends it.
    pub(super) fn can_end(&self) -> bool {
        self.parens == 0 && self.bodies == 0
    }

    pub(super) fn semicolon_within(&mut self) {
        self.within = true;
    }

    pub(super) fn take(&mut self, token: Token<'_>) -> Result<(), Cause> {
        let is = |known: &str| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(known.as_bytes()));
        if std::mem::take(&mut self.within) && is("copy") {
            return Err(Cause::CopyWithin);
        }
        self.rows = match self.rows {
            Rows::Nothing if is("copy") => Rows::Copy,
            Rows::Copy if is("from") && self.parens == 0 => Rows::From,
            Rows::Copy => Rows::Copy,
            // The grammar takes either word for the client's rows.
            Rows::From if is("stdin") || is("stdout") => Rows::Stdin,
            Rows::Nothing | Rows::From | Rows::No => Rows::No,
            Rows::Stdin => Rows::Stdin,
        };
        self.keep(token);
        Ok(())
    }

    fn keep(&mut self, token: Token<'_>) {
        let text = match token {
            Token::Word(text) | Token::Quoted(text) => text,
            Token::Mark(b'=') => b"=",
            Token::Mark(_) => return,
        };
        // Of rows as INSERT statements the first word is enough.
        let is_data = self.words.first().is_some_and(|word| word == b"insert");
        if self.words.len() < WORDS && !is_data {
            let text = &text[..text.len().min(LENGTH)];
            self.words.push(text.to_ascii_lowercase());
        }
    }

    /// Counts `BEGIN` and `END` of a function's body as `psql` does: by words alone.
    pub(super) fn identifier(&mut self, word: &[u8]) {
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        if self.identifiers == 0 {
            self.heads = [0; 4];
        }
        let heads = ["create", "function", "procedure", "or", "replace"];
        if heads.iter().any(|head| is(head))
            && let Some(head) = self.heads.get_mut(self.identifiers)
        {
            *head = word[0].to_ascii_lowercase();
        }
        self.identifiers += 1;
        let makes_a_function = matches!(
            self.heads,
            [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']
        );
        if !makes_a_function || self.parens > 0 {
            return;
        }
        if is("begin") || is("case") && self.bodies > 0 {
            self.bodies += 1;
        } else if is("end") {
            self.bodies = self.bodies.saturating_sub(1);
        }
    }
}
