//! `\set` and `\sleep`; every other command is refused with the way out.

use std::ops::Range;

use super::pieces::{without_continuations, words};
use super::reader::Reader;
use super::{Problem, expression, is_variable};
use crate::Result;
use crate::config::suggest::nearest;
use crate::plan::traffic::{Expression, Function, Instruction};

impl Reader<'_> {
    /// Reads one command.
    ///
    /// # Errors
    ///
    /// If it cannot be run.
    pub fn command(&mut self, span: Range<usize>) -> Result<()> {
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
