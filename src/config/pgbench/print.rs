//! A program as a script again, one line an instruction: what was decided, for digests and for tests.

use super::functions;
use crate::plan::traffic::{Distribution, Expression, Function, Instruction};
use crate::sql::{TokenKind, lex};

/// A line, without its line break.
pub fn instruction(instruction: &Instruction) -> String {
    match instruction {
        Instruction::Set { variable, value } => format!("\\set {variable} {}", expression(value)),
        Instruction::Sql {
            text, parameters, ..
        } => format!("{};", named(text, parameters)),
        Instruction::Sleep(time) => match time {
            Expression::Call {
                function: Function::Multiply,
                arguments,
            } => match arguments.as_slice() {
                [Expression::Variable(name), Expression::Integer(1_000)] => {
                    format!("\\sleep :{name} ms")
                }
                [Expression::Variable(name), Expression::Integer(_)] => {
                    format!("\\sleep :{name} s")
                }
                _ => format!("\\sleep {} us", expression(time)),
            },
            _ => format!("\\sleep {} us", expression(time)),
        },
    }
}

/// An expression; what pgbench has no words for, a column's keys and a choice, comes in words that it refuses.
pub fn expression(value: &Expression) -> String {
    match value {
        Expression::Integer(number) => number.to_string(),
        Expression::Double(number) => format!("{number:?}"),
        Expression::Text(text) => format!("{text:?}"),
        Expression::Variable(name) => format!(":{name}"),
        Expression::Key {
            relation,
            column,
            distribution,
        } => {
            let distribution = match distribution {
                Distribution::Uniform => "uniform".to_owned(),
                Distribution::Zipf { exponent } => format!("zipf {exponent:?}"),
            };
            format!("key({relation:?}, {column:?}, {distribution})")
        }
        Expression::OneOf(values) => format!("one_of({})", list(values)),
        Expression::Call {
            function,
            arguments,
        } => match (function, arguments.as_slice()) {
            (Function::Add, [left, right]) => infix(left, "+", right),
            (Function::Subtract, [left, right]) => infix(left, "-", right),
            (Function::Multiply, [left, right]) => infix(left, "*", right),
            (Function::Divide, [left, right]) => infix(left, "/", right),
            (Function::Subtract, [only]) => format!("-({})", expression(only)),
            _ => {
                let name = functions::name(*function).unwrap_or_default();
                format!("{name}({})", list(arguments))
            }
        },
    }
}

fn infix(left: &Expression, operator: &str, right: &Expression) -> String {
    format!("({} {operator} {})", expression(left), expression(right))
}

fn list(values: &[Expression]) -> String {
    let values: Vec<String> = values.iter().map(expression).collect();
    values.join(", ")
}

/// The statement with its variables' names in place of their numbers.
fn named(text: &str, parameters: &[String]) -> String {
    let mut result = String::with_capacity(text.len());
    for token in lex(text) {
        let piece = &text[token.span];
        let name = (token.kind == TokenKind::Parameter)
            .then(|| piece[1..].parse::<usize>().ok())
            .flatten()
            .and_then(|number| parameters.get(number.checked_sub(1)?));
        match name {
            Some(name) => {
                result.push(':');
                result.push_str(name);
            }
            None => result.push_str(piece),
        }
    }
    result
}
