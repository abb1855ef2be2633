//! `[operations.parameters]` → expressions.

use std::collections::BTreeMap;

use toml::Value;

use super::super::document::{Document, KeyPath};
use super::super::pgbench::is_variable;
use super::super::suggest::listed;
use super::super::units::{self, Unfit};
use super::keys::{DistributionText, ParameterText};
use crate::Result;
use crate::plan::traffic::{Distribution, Expression, Function};
use crate::sql::{TokenKind, lex};

/// What few keys get most of the requests means, unless it is said: near what pages of a shop see.
const DEFAULT_EXPONENT: f64 = 1.1;

/// The parameters of an operation, in the order of their names.
///
/// # Errors
///
/// For a name that SQL cannot have as `:name`, and for a parameter that says nothing, two things or nonsense.
pub fn read(
    document: &Document<'_>,
    at: &KeyPath,
    typed: &BTreeMap<String, ParameterText>,
) -> Result<Vec<(String, Expression)>> {
    typed
        .iter()
        .map(|(name, text)| {
            let at = at.key(name);
            if !is_variable(name) {
                return Err(document
                    .error(&at, "cannot be written `:name` in SQL")
                    .help("a name is a letter or `_`, then letters, digits and `_`"));
            }
            Ok((name.clone(), parameter(document, &at, text)?))
        })
        .collect()
}

fn parameter(document: &Document<'_>, at: &KeyPath, text: &ParameterText) -> Result<Expression> {
    let sources = [
        ("column", text.column.is_some()),
        ("random", text.random.is_some()),
        ("value", text.value.is_some()),
        ("values", text.values.is_some()),
    ];
    let given: Vec<&str> = sources
        .iter()
        .filter(|(_, given)| *given)
        .map(|(key, _)| *key)
        .collect();
    if given.len() != 1 {
        let message = match given.len() {
            0 => "says not where its value comes from".to_owned(),
            _ => format!("has {}, and can have one of them", listed(given)),
        };
        return Err(document.error(at, &message).help(
            "write `{ column = \"table.id\" }`, `{ random = [1, 100] }`, `{ value = 5 }` or \
             `{ values = [\"a\", \"b\"] }`",
        ));
    }
    let unfit = |key: &str| {
        let at = at.key(key);
        move |unfit: Unfit| document.unfit(&at, unfit)
    };
    if text.column.is_none() {
        for (key, given) in [
            ("distribution", text.distribution.is_some()),
            ("exponent", text.exponent.is_some()),
        ] {
            if given {
                return Err(unfit(key)(Unfit::new(
                    "is for a `column`",
                    "leave it out; in a script there is `random_zipfian`",
                )));
            }
        }
    }
    if let Some(typed) = &text.column {
        let (relation, column) = column(typed).map_err(unfit("column"))?;
        return Ok(Expression::Key {
            relation,
            column,
            distribution: distribution(text).map_err(unfit("exponent"))?,
        });
    }
    if let Some(ends) = &text.random {
        let (low, high) = range(ends).map_err(unfit("random"))?;
        return Ok(Expression::Call {
            function: Function::Random,
            arguments: vec![Expression::Integer(low), Expression::Integer(high)],
        });
    }
    if let Some(values) = &text.values {
        if values.is_empty() {
            return Err(unfit("values")(Unfit::new(
                "is empty",
                "write the values, such as `[\"a\", \"b\"]`",
            )));
        }
        let values = values
            .iter()
            .enumerate()
            .map(|(index, value)| {
                constant(value)
                    .map_err(|unfit| document.unfit(&at.key("values").index(index), unfit))
            })
            .collect::<Result<Vec<_>>>()?;
        return Ok(Expression::OneOf(values));
    }
    let value = text.value.as_ref().map(constant);
    value
        .unwrap_or_else(|| Ok(Expression::Text(String::new())))
        .map_err(unfit("value"))
}

fn constant(value: &Value) -> Result<Expression, Unfit> {
    match value {
        Value::Integer(number) => Ok(Expression::Integer(*number)),
        Value::Float(number) if number.is_finite() => Ok(Expression::Double(*number)),
        Value::String(text) => Ok(Expression::Text(text.clone())),
        Value::Boolean(is) => Ok(Expression::Text(is.to_string())),
        other => Err(Unfit::new(
            format!("has to be text or a number, not {}", units::kind_of(other)),
            "write it in quotes, as it would be typed between SQL's own",
        )),
    }
}

fn range(ends: &[Value]) -> Result<(i64, i64), Unfit> {
    const HELP: &str = "write the lowest and the highest whole number, such as `[1, 100]`";
    let [low, high] = ends else {
        let message = format!("has to be two numbers, not {}", ends.len());
        return Err(Unfit::new(message, HELP));
    };
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number),
        Value::String(text) => text.trim().replace('_', "").parse().ok(),
        _ => None,
    };
    let (Some(low), Some(high)) = (number(low), number(high)) else {
        return Err(Unfit::new("has to be two whole numbers", HELP));
    };
    if low > high {
        return Err(Unfit::new(
            format!("is an empty range: {low} to {high}"),
            HELP,
        ));
    }
    Ok((low, high))
}

fn distribution(text: &ParameterText) -> Result<Distribution, Unfit> {
    match (text.distribution, &text.exponent) {
        (Some(DistributionText::Zipf), None) => Ok(Distribution::Zipf {
            exponent: DEFAULT_EXPONENT,
        }),
        (Some(DistributionText::Zipf), Some(value)) => {
            let exponent = super::number(value)?;
            if exponent <= 0.0 || exponent > 10.0 {
                return Err(Unfit::new(
                    format!("has to be more than 0 and at most 10, not {exponent}"),
                    "near 1 the most frequent tenth of the keys gets most of the requests",
                ));
            }
            Ok(Distribution::Zipf { exponent })
        }
        (_, Some(_)) => Err(Unfit::new(
            "means nothing without `distribution = \"zipf\"`",
            "leave it out, or say `distribution = \"zipf\"`",
        )),
        _ => Ok(Distribution::Uniform),
    }
}

/// `schema.table.column` as SQL has it: the table with its schema, and the column.
fn column(typed: &str) -> Result<(String, String), Unfit> {
    let unfit = || {
        Unfit::new(
            format!("names no column: `{typed}`"),
            "write `table.column` or `schema.table.column`, as SQL has them",
        )
    };
    let mut names: Vec<&str> = Vec::new();
    for (index, token) in lex(typed).enumerate() {
        let piece = &typed[token.span];
        match token.kind {
            TokenKind::Identifier | TokenKind::QuotedIdentifier if index % 2 == 0 => {
                names.push(piece);
            }
            TokenKind::Punctuation if index % 2 == 1 && piece == "." => {}
            _ => return Err(unfit()),
        }
    }
    match names.as_slice() {
        [relation @ .., column] if (1..=2).contains(&relation.len()) && !typed.ends_with('.') => {
            Ok((relation.join("."), (*column).to_owned()))
        }
        _ => Err(unfit()),
    }
}
