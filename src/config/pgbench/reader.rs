//! A script's instructions, one after the other, and which variables have a value at each.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Given, Problem, Program, WayOut, statement};
use crate::config::script::{self, Origin};
use crate::config::suggest::nearest;
use crate::plan::traffic::{Expression, Instruction};
use crate::sql::{Statement, Verb, line_column, split};
use crate::{Error, Result};

/// A script, as far as it is read.
pub struct Reader<'r> {
    origin: &'r Origin,
    pub(super) text: &'r str,
    given: &'r Given<'r>,
    /// The variables that have a value so far.
    pub(super) set: BTreeSet<String>,
    /// Those that had one before the first line, as far as they were used.
    preset: Vec<(String, Expression)>,
    used: BTreeSet<String>,
    pub(super) instructions: Vec<Instruction>,
    /// All of them; their spans are those of the whole text.
    statements: Vec<Statement>,
}

impl<'r> Reader<'r> {
    /// Before the first line.
    pub fn new(origin: &'r Origin, text: &'r str, given: &'r Given<'r>) -> Self {
        Self {
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
        }
    }

    /// Reads the statements of a part.
    ///
    /// # Errors
    ///
    /// If one cannot be split, or is none of a request.
    pub fn sql(&mut self, span: Range<usize>) -> Result<()> {
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
            if !prepared.variables.is_empty() && !takes_values(statement.kind.verb()) {
                return Err(self.problem(
                    Problem::new(
                        at,
                        format!("`{}` takes no variable", statement.kind.summary()),
                    )
                    .help(
                        "the server takes values in SELECT, INSERT, UPDATE, DELETE and their like; for SET \
                         there is `SELECT set_config('name', :value, true)`",
                    ),
                ));
            }
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

    /// What was read.
    ///
    /// # Errors
    ///
    /// If there is no statement, or a transaction has no end.
    pub fn finish(self) -> Result<Program> {
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

    pub(super) fn problem(&self, problem: Problem) -> Error {
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

    pub(super) fn known(&mut self, name: &str, offset: usize) -> Result<(), Problem> {
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

    pub(super) fn all_known(
        &mut self,
        expression: &Expression,
        offset: usize,
    ) -> Result<(), Problem> {
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

/// False for statements in which the server knows no `$1`.
fn takes_values(verb: Verb) -> bool {
    !matches!(
        verb,
        Verb::Begin
            | Verb::Commit
            | Verb::Rollback
            | Verb::RollbackTo
            | Verb::Savepoint
            | Verb::ReleaseSavepoint
            | Verb::Set { .. }
            | Verb::Reset
            | Verb::Show
            | Verb::Do
            | Verb::Notify
            | Verb::Alter(_)
            | Verb::Drop(_)
            | Verb::Truncate
            | Verb::Lock
            | Verb::Comment
            | Verb::Grant
            | Verb::Revoke
    )
}
