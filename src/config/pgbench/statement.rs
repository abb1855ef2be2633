//! The variables of a statement: `:name` → `$1`, as `pgbench -M prepared` does it.
//!
//! Each place gets a number of its own, as with pgbench, so that the server may see another type in each.
//! Strings, quoted names, comments and casts are left alone.

use super::{Problem, is_variable};
use crate::sql::{Token, TokenKind, lex};

/// A statement, ready to be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// With `$1`, `$2` in place of variables.
    pub text: String,
    /// The variables, in the order of their numbers, each with where it stands in the statement as typed.
    pub variables: Vec<(String, usize)>,
}

/// Puts numbers in the variables' places; offsets of problems count from the statement's beginning.
///
/// `defined` says whether a variable is there, for what looks like one within a string.
pub fn prepared(text: &str, defined: impl Fn(&str) -> bool) -> Result<Prepared, Problem> {
    let mut result = Prepared {
        text: String::with_capacity(text.len()),
        variables: Vec::new(),
    };
    let mut tokens = lex(text).peekable();
    while let Some(token) = tokens.next() {
        let piece = &text[token.span.clone()];
        match token.kind {
            TokenKind::Parameter => {
                return Err(Problem::new(
                    token.span.start,
                    format!("`{piece}` has no value: parameters have names here"),
                )
                .help("write it `:name`, and give `name` a value"));
            }
            TokenKind::String | TokenKind::DollarString => {
                within_a_string(piece, &defined).map_err(|p| p.behind(token.span.start))?;
            }
            TokenKind::Punctuation if piece == ":" => {
                if let Some(name) = tokens.next_if(|next| next.kind == TokenKind::Identifier) {
                    result.add(&token, &text[name.span])?;
                    continue;
                }
                if let Some(next) = tokens.peek().filter(|next| is_quoted(next)) {
                    let whole = &text[token.span.start..next.span.end];
                    return Err(Problem::new(
                        token.span.start,
                        format!("`{whole}` is unclear: that is psql's way to quote a variable"),
                    )
                    .help("write `:name`, which needs no quotes; in a slice, put a space behind the colon"));
                }
            }
            _ => {}
        }
        result.text.push_str(piece);
    }
    Ok(result)
}

impl Prepared {
    fn add(&mut self, colon: &Token, name: &str) -> Result<(), Problem> {
        if !is_variable(name) {
            return Err(
                Problem::new(colon.span.start, format!("`:{name}` is unclear"))
                    .help("a variable's name is letters, digits and `_`; put a space behind it"),
            );
        }
        let glued = |c: char| c.is_ascii_alphanumeric() || "_$".contains(c) || !c.is_ascii();
        if self.text.ends_with(glued) {
            // `limit:n` would become the name `limit$1`.
            return Err(Problem::new(
                colon.span.start,
                format!("`:{name}` is unclear: it touches what is before it"),
            )
            .help("put a space in front of it; in a slice, behind the colon"));
        }
        self.variables.push((name.to_owned(), colon.span.start));
        self.text.push_str(&format!("${}", self.variables.len()));
        Ok(())
    }
}

fn is_quoted(token: &Token) -> bool {
    matches!(
        token.kind,
        TokenKind::String | TokenKind::QuotedIdentifier | TokenKind::BitString
    )
}

/// pgbench would put a number there as well, and the server would take it for a part of the text.
fn within_a_string(piece: &str, defined: &impl Fn(&str) -> bool) -> Result<(), Problem> {
    for (at, _) in piece.match_indices(':') {
        let rest = &piece[at + 1..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c.is_ascii())
            .unwrap_or(rest.len());
        let name = &rest[..end];
        if is_variable(name) && !piece[..at].ends_with(':') && defined(name) {
            return Err(Problem::new(
                at,
                format!("`:{name}` stands in a string, where nothing is put in"),
            )
            .help(format!(
                "put it beside the string, such as `'…' || :{name}`, or give the variable another name"
            )));
        }
    }
    Ok(())
}
