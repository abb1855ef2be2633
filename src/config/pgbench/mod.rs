//! Scripts of pgbench → the instructions of a request.
//!
//! SQL that ends with `;`, and commands that begin with `\` and end with their line. Every complaint names the
//! file and the line. What a script needs more than a request has (conditions, results in variables, pipelines,
//! programs) is refused with the way out.

mod expression;
mod functions;
pub mod print;
mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::script::{self, Origin};
use super::suggest::nearest;
use crate::plan::traffic::{Expression, Function, Instruction};
use crate::sql::{Statement, TokenKind, lex, line_column, split};
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
    let mut reader = Reader {
        origin,
        text,
        given,
        set: given
            .parameters
            .iter()
            .map(|(name, _)| name.clone())
            .collect(),
        preset: Vec::new(),
        used: BTreeSet::new(),
        instructions: Vec::new(),
        statements: Vec::new(),
    };
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

enum Piece {
    Sql(Range<usize>),
    Command(Range<usize>),
}

/// A backslash outside quotes and comments begins a command, wherever it stands on its line.
fn pieces(text: &str) -> Vec<Piece> {
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

struct Reader<'r> {
    origin: &'r Origin,
    text: &'r str,
    given: &'r Given<'r>,
    /// The variables that have a value so far.
    set: BTreeSet<String>,
    /// Those that had one before the first line, as far as they were used.
    preset: Vec<(String, Expression)>,
    used: BTreeSet<String>,
    instructions: Vec<Instruction>,
    /// All of them; their spans are those of the whole text.
    statements: Vec<Statement>,
}

impl Reader<'_> {
    fn sql(&mut self, span: Range<usize>) -> Result<()> {
        let start = span.start;
        let piece = &self.text[span];
        let statements = split(piece).map_err(|mut problem| {
            (problem.line, problem.column) = line_column(self.text, start + problem.offset);
            script::unsplit(self.origin, &problem)
        })?;
        for mut statement in statements {
            statement.span = start + statement.span.start..start + statement.span.end;
            let at = statement.span.start;
            if statement.copy_data.is_some() {
                return Err(self.problem(
                    Problem::new(
                        at,
                        "a request cannot send the data of a `COPY … FROM STDIN`",
                    )
                    .help("write it as an INSERT"),
                ));
            }
            let prepared = statement::prepared(&statement.text, |name| self.is_known(name))
                .map_err(|problem| self.problem(problem.behind(at)))?;
            let mut parameters = Vec::with_capacity(prepared.variables.len());
            for (name, offset) in prepared.variables {
                self.uses(&name, at + offset)?;
                parameters.push(name);
            }
            self.instructions.push(Instruction::Sql {
                text: prepared.text,
                parameters,
                line: line_column(self.text, at).0,
            });
            self.statements.push(statement);
        }
        Ok(())
    }

    fn command(&mut self, span: Range<usize>) -> Result<()> {
        let at = span.start;
        let line = without_continuations(&self.text[span]);
        let words = words(&line[1..]);
        let name = words.first().map_or("", |(_, word)| *word);
        // Offsets within the line, the backslash included.
        let argument = |index: usize| words.get(index).map(|(offset, word)| (offset + 1, *word));
        let result = match name.to_ascii_lowercase().as_str() {
            "set" => self.set(&line, argument(1)),
            "sleep" => self.sleep(&line, [argument(1), argument(2), argument(3)]),
            _ => Err(unsupported(name)),
        };
        result.map_err(|problem| self.problem(problem.behind(at)))
    }

    fn set(&mut self, line: &str, name: Option<(usize, &str)>) -> Result<(), Problem> {
        const HELP: &str = "write it like `\\set id random(1, 100)`";
        let Some((offset, name)) = name else {
            return Err(Problem::new(0, "`\\set` lacks its variable").help(HELP));
        };
        if !is_variable(name) {
            return Err(
                Problem::new(offset, format!("`{name}` cannot be a variable's name"))
                    .help("a name is a letter or `_`, then letters, digits and `_`"),
            );
        }
        let from = offset + name.len();
        if line[from..].trim().is_empty() {
            return Err(Problem::new(0, format!("`\\set {name}` lacks its value")).help(HELP));
        }
        let value = expression::parse(&line[from..]).map_err(|problem| problem.behind(from))?;
        let blank = line[from..].len() - line[from..].trim_start().len();
        self.all_known(&value, from + blank)?;
        self.set.insert(name.to_owned());
        self.instructions.push(Instruction::Set {
            variable: name.to_owned(),
            value,
        });
        Ok(())
    }

    fn sleep(&mut self, line: &str, arguments: [Option<(usize, &str)>; 3]) -> Result<(), Problem> {
        const HELP: &str =
            "write it like `\\sleep 10 ms` or `\\sleep :pause us`; without a unit it is seconds";
        let [time, unit, more] = arguments;
        let Some((offset, time)) = time else {
            return Err(Problem::new(0, "`\\sleep` lacks its time").help(HELP));
        };
        if let Some((offset, more)) = more {
            return Err(Problem::new(offset, format!("`{more}` is one too many")).help(HELP));
        }
        // `10ms` is `10 ms`.
        let digits = time
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(time.len());
        let (time, unit) = match unit {
            None if digits > 0 && digits < time.len() => {
                (&time[..digits], Some((offset + digits, &time[digits..])))
            }
            unit => (time, unit),
        };
        let micros: i64 = match unit {
            None => 1_000_000,
            Some((offset, unit)) => match unit.to_ascii_lowercase().as_str() {
                "us" => 1,
                "ms" => 1_000,
                "s" => 1_000_000,
                _ => {
                    return Err(
                        Problem::new(offset, format!("`{unit}` is no unit of a time")).help(HELP),
                    );
                }
            },
        };
        let time = if let Some(name) = time.strip_prefix(':').filter(|name| is_variable(name)) {
            self.known(name, offset)?;
            let variable = Expression::Variable(name.to_owned());
            match micros {
                1 => variable,
                _ => Expression::Call {
                    function: Function::Multiply,
                    arguments: vec![variable, Expression::Integer(micros)],
                },
            }
        } else {
            const HOUR: i64 = 3_600_000_000;
            let total = time
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| time.parse::<i64>().ok()?.checked_mul(micros))
                .flatten();
            match total {
                Some(total) if total <= HOUR => Expression::Integer(total),
                Some(_) => {
                    return Err(Problem::new(offset, "a request cannot sleep so long")
                        .help("the longest is an hour"));
                }
                None => {
                    let typed = &line[offset..offset + time.len()];
                    return Err(
                        Problem::new(offset, format!("`{typed}` is no whole number")).help(HELP),
                    );
                }
            }
        };
        self.instructions.push(Instruction::Sleep(time));
        Ok(())
    }

    fn finish(self) -> Result<Program> {
        if self.statements.is_empty() {
            return Err(
                Error::usage(format!("{} has no statement", self.origin.shown))
                    .help("leave it out, or write the SQL that a request is to run"),
            );
        }
        script::own_transactions(self.origin, self.text, &self.statements)?;
        let set = |(variable, value): (String, Expression)| Instruction::Set { variable, value };
        let parameters = self.given.parameters.iter().cloned();
        let unused = parameters
            .clone()
            .map(|(name, _)| name)
            .chain(self.instructions.iter().filter_map(|line| match line {
                Instruction::Set { variable, .. } => Some(variable.clone()),
                _ => None,
            }))
            .filter(|name| !self.used.contains(name))
            .collect::<BTreeSet<String>>();
        Ok(Program {
            unused: unused.into_iter().collect(),
            instructions: parameters
                .chain(self.preset)
                .map(set)
                .chain(self.instructions)
                .collect(),
        })
    }

    fn problem(&self, problem: Problem) -> Error {
        problem.at(self.origin, self.text)
    }

    /// Whether a variable has a value, or would have one if it was used.
    fn is_known(&self, name: &str) -> bool {
        self.set.contains(name) || self.preset_value(name).is_some()
    }

    fn preset_value(&self, name: &str) -> Option<Expression> {
        if let Some(value) = self.given.variables.get(name) {
            return Some(constant(value));
        }
        // A server's whole numbers have a sign, and so have pgbench's.
        ["random_seed", "default_seed"]
            .contains(&name)
            .then(|| Expression::Integer(self.given.seed.cast_signed()))
    }

    fn uses(&mut self, name: &str, offset: usize) -> Result<()> {
        self.known(name, offset)
            .map_err(|problem| problem.at(self.origin, self.text))
    }

    fn known(&mut self, name: &str, offset: usize) -> Result<(), Problem> {
        if !self.set.contains(name) {
            let Some(value) = self.preset_value(name) else {
                return Err(self.undefined(name, offset));
            };
            self.set.insert(name.to_owned());
            self.preset.push((name.to_owned(), value));
        }
        self.used.insert(name.to_owned());
        Ok(())
    }

    fn all_known(&mut self, expression: &Expression, offset: usize) -> Result<(), Problem> {
        match expression {
            Expression::Variable(name) => self.known(name, offset),
            Expression::OneOf(inner)
            | Expression::Call {
                arguments: inner, ..
            } => inner
                .iter()
                .try_for_each(|inner| self.all_known(inner, offset)),
            Expression::Integer(_)
            | Expression::Double(_)
            | Expression::Text(_)
            | Expression::Key { .. } => Ok(()),
        }
    }

    fn undefined(&self, name: &str, offset: usize) -> Problem {
        let given = match self.given.way_out {
            WayOut::Description => format!("add it to `[variables]`, such as `{name} = 10`"),
            WayOut::CommandLine => format!("pass `--var {name}=10`"),
        };
        let known = self
            .set
            .iter()
            .chain(self.given.variables.keys())
            .map(String::as_str);
        let help = match name {
            "scale" => format!(
                "pgbench counts the rows of `pgbench_branches` for it, which are not known here; {given}"
            ),
            "client_id" => {
                format!("pgbench numbers its clients, and requests here have none; {given}")
            }
            _ => match (nearest(name, known), self.given.way_out) {
                (Some(meant), _) => format!("did you mean `:{meant}`?"),
                (None, WayOut::Description) => format!(
                    "give it a value in `[operations.parameters]`, or with `\\set {name} …` before, or {given}"
                ),
                (None, WayOut::CommandLine) => {
                    format!("set it before, with `\\set {name} …`, or {given}")
                }
            },
        };
        Problem::new(offset, format!("`:{name}` has no value")).help(help)
    }
}

/// A variable's value as an expression has it: a number where it is one.
fn constant(value: &str) -> Expression {
    let number = value.trim();
    if let Ok(number) = number.parse::<i64>() {
        return Expression::Integer(number);
    }
    match number.parse::<f64>() {
        Ok(double) if number.starts_with(|c: char| !c.is_alphabetic()) && double.is_finite() => {
            Expression::Double(double)
        }
        _ => Expression::Text(value.to_owned()),
    }
}

/// Blanks where a `\` before a line break continues the line, so that every byte keeps its place.
fn without_continuations(line: &str) -> String {
    line.replace("\\\r\n", "   ").replace("\\\n", "  ")
}

/// Words between white space, each with its offset.
fn words(line: &str) -> Vec<(usize, &str)> {
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

fn unsupported(name: &str) -> Problem {
    let problem = |help: &str| Problem::new(0, format!("`\\{name}` is not supported")).help(help);
    match name.to_ascii_lowercase().as_str() {
        "if" | "elif" | "else" | "endif" => {
            problem("write each branch as a script of its own, with its weight")
        }
        "gset" | "aset" => problem(
            "a request keeps no results: write the statements that need them as one, with `WITH … AS (…)`",
        ),
        "shell" | "setshell" => {
            problem("requests run nothing but SQL: give the variable its value with `\\set`")
        }
        "startpipeline" | "syncpipeline" | "endpipeline" => {
            problem("leave it out: the statements of a request are sent one after the other")
        }
        "setrandom" => problem("write `\\set name random(lowest, highest)`"),
        lower if lower.starts_with(';') => Problem::new(0, "`\\;` is not supported")
            .help("write `;`: each statement is sent by itself"),
        _ => {
            let problem = Problem::new(0, format!("`\\{name}` is no command of a script"));
            problem.help(match nearest(name, ["set", "sleep"]) {
                Some(meant) => format!("did you mean `\\{meant}`?"),
                None => {
                    "there are `\\set` and `\\sleep`; psql's commands are psql's own".to_owned()
                }
            })
        }
    }
}

#[cfg(test)]
mod tests;
