//! The words of one statement, taken from left to right.
//!
//! What `kind` reads a statement with: nothing here knows a keyword. Never goes beyond the last token,
//! however often it is asked.

use super::lex::{Token, TokenKind};

/// The tokens of a statement without trivia, read from left to right.
///
/// Only unquoted identifiers are words; they are compared without regard to case.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Words<'a> {
    /// The tokens of `text`, which hold no trivia.
    pub(super) fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        Words {
            text,
            tokens,
            at: 0,
        }
    }

    /// How many tokens were taken.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn kind_at(&self, ahead: usize) -> Option<TokenKind> {
        self.tokens.get(self.at + ahead).map(|token| token.kind)
    }

    pub(super) fn text_at(&self, ahead: usize) -> Option<&'a str> {
        let token = self.tokens.get(self.at + ahead)?;
        Some(&self.text[token.span.clone()])
    }

    pub(super) fn word_at(&self, ahead: usize) -> Option<&'a str> {
        self.text_at(ahead)
            .filter(|_| self.kind_at(ahead) == Some(TokenKind::Identifier))
    }

    pub(super) fn is_at(&self, ahead: usize, word: &str) -> bool {
        self.word_at(ahead)
            .is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.is_at(0, word)
    }

    /// The token that comes next, if it is neither a word nor a name nor a literal.
    pub(super) fn symbol(&self) -> Option<&'a str> {
        self.text_at(0).filter(|_| {
            matches!(
                self.kind_at(0),
                Some(TokenKind::Punctuation | TokenKind::Operator | TokenKind::Semicolon)
            )
        })
    }

    pub(super) fn skip(&mut self, tokens: usize) {
        self.at = (self.at + tokens).min(self.tokens.len());
    }

    pub(super) fn take_word(&mut self) -> Option<&'a str> {
        let word = self.word_at(0)?;
        self.skip(1);
        Some(word)
    }

    pub(super) fn eat(&mut self, word: &str) -> bool {
        let eaten = self.is(word);
        self.skip(usize::from(eaten));
        eaten
    }

    /// Takes all of `words`, which are separated by blanks, or none.
    pub(super) fn eat_all(&mut self, words: &str) -> bool {
        let eaten = (0..)
            .zip(words.split(' '))
            .all(|(ahead, word)| self.is_at(ahead, word));
        if eaten {
            self.skip(words.split(' ').count());
        }
        eaten
    }

    pub(super) fn eat_symbol(&mut self, symbol: &str) -> bool {
        let eaten = self.symbol() == Some(symbol);
        self.skip(usize::from(eaten));
        eaten
    }

    pub(super) fn eat_kind(&mut self, kind: TokenKind) -> bool {
        let eaten = self.kind_at(0) == Some(kind);
        self.skip(usize::from(eaten));
        eaten
    }

    pub(super) fn skip_if_exists(&mut self) {
        let _ = self.eat_all("IF EXISTS") || self.eat_all("IF NOT EXISTS");
    }

    /// Takes `( … )` with all that is in it; false if there is none here.
    pub(super) fn skip_parentheses(&mut self) -> bool {
        if self.kind_at(0) != Some(TokenKind::LeftParen) {
            return false;
        }
        let mut depth = 0_usize;
        while let Some(kind) = self.kind_at(0) {
            match kind {
                TokenKind::LeftParen => depth += 1,
                TokenKind::RightParen => depth -= 1,
                _ => {}
            }
            self.skip(1);
            if depth == 0 {
                break;
            }
        }
        true
    }

    /// Takes a name with what qualifies it, as typed but without blanks around the dots.
    pub(super) fn name(&mut self) -> Option<String> {
        let is_name = |kind| {
            matches!(
                kind,
                Some(TokenKind::Identifier | TokenKind::QuotedIdentifier)
            )
        };
        if !is_name(self.kind_at(0)) {
            return None;
        }
        let mut name = self.text_at(0)?.to_owned();
        self.skip(1);
        while self.symbol() == Some(".") && is_name(self.kind_at(1)) {
            name.push('.');
            name.push_str(self.text_at(1)?);
            self.skip(2);
        }
        Some(name)
    }

    /// The value of a boolean option in the first `( … )` from here on, `true` if it has none.
    /// `None` if the option is not there; any other value counts as `true`.
    pub(super) fn option(&self, name: &str) -> Option<bool> {
        let mut words = *self;
        while !words.eat_kind(TokenKind::LeftParen) {
            words.kind_at(0)?;
            words.skip(1);
        }
        loop {
            if words.eat(name) {
                let _ = words.eat_symbol("=");
                let value = words.text_at(0).unwrap_or_default().trim_matches('\'');
                let off = ["false", "off", "0"];
                return Some(!off.iter().any(|off| value.eq_ignore_ascii_case(off)));
            }
            while !words.eat_symbol(",") {
                if matches!(words.kind_at(0)?, TokenKind::RightParen) {
                    return None;
                }
                if !words.skip_parentheses() {
                    words.skip(1);
                }
            }
        }
    }

    /// The words up to here, in capitals.
    pub(super) fn before(&self) -> String {
        self.since(0)
    }

    /// The words from the token `start` up to here, in capitals.
    pub(super) fn since(&self, start: usize) -> String {
        let words: Vec<String> = self.tokens[start..self.at]
            .iter()
            .filter(|token| token.kind == TokenKind::Identifier)
            .map(|token| self.text[token.span.clone()].to_ascii_uppercase())
            .collect();
        words.join(" ")
    }
}
