//! Scripts of pgbench → the instructions of a request.
//!
//! SQL that ends with `;`, and commands that begin with `\` and end with their line. Every complaint names the
//! file and the line. What a script needs more than a request has (conditions, results in variables, pipelines,
//! programs) is refused with the way out.

mod commands;
mod expression;
mod functions;
mod pieces;
pub mod print;
mod reader;
mod statement;

use std::collections::{BTreeMap, BTreeSet};

use self::pieces::{Piece, pieces};
use self::reader::Reader;
use super::script::Origin;
use crate::plan::traffic::{Expression, Instruction};
use crate::sql::{lex, line_column};
use crate::{Error, Result};

/// What is wrong at a byte of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    offset: usize,
    message: String,
    help: Option<String>,
}

impl Problem {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same in a text that has so many bytes more in front.
    fn behind(mut self, offset: usize) -> Self {
        self.offset += offset;
        self
    }

    fn at(self, origin: &Origin, text: &str) -> Error {
        let (line, column) = line_column(text, self.offset);
        let error = Error::usage(format!(
            "{}, line {line}, column {column}: {}",
            origin.shown, self.message
        ));
        match self.help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}

/// What has a value before a script's first line.
#[derive(Debug, Clone)]
pub struct Given<'g> {
    /// Set in each request, in this order.
    pub parameters: &'g [(String, Expression)],
    /// As of pgbench's `-D`: set where the script uses them.
    pub variables: &'g BTreeMap<String, String>,
    /// `:random_seed` and `:default_seed`.
    pub seed: u64,
    /// Where a value could be given, for the complaint about a variable that has none.
    pub way_out: WayOut,
}

/// Where a missing variable can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayOut {
    /// In a traffic.toml.
    Description,
    /// In the script or on the command line.
    CommandLine,
}

/// What a request does.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// In their order; at least one of them is SQL.
    pub instructions: Vec<Instruction>,
    /// Variables that get a value which nothing uses.
    pub unused: Vec<String>,
}

/// Reads a script.
///
/// # Errors
///
/// For the first thing in it that cannot be run.
pub fn program(origin: &Origin, text: &str, given: &Given<'_>) -> Result<Program> {
    let mut reader = Reader::new(origin, text, given);
    for piece in pieces(text) {
        match piece {
            Piece::Sql(span) => reader.sql(span)?,
            Piece::Command(span) => reader.command(span)?,
        }
    }
    reader.finish()
}

/// The variables that a script uses, defined or not, as far as it can be read.
pub fn used(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut colon: Option<usize> = None;
    for token in lex(text) {
        let piece = &text[token.span.clone()];
        if colon == Some(token.span.start) && is_variable(piece) {
            names.insert(piece.to_owned());
        }
        colon = (piece == ":").then_some(token.span.end);
    }
    names
}

/// Whether a variable can have this name: a letter or `_`, then letters, digits and `_`.
pub fn is_variable(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests;
