//! Which variables there are: those of a scenario, those of the command line, those of a text.
//!
//! What is put in where is `vars`'.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::document::{Document, KeyPath};
use super::suggest::{listed, nearest};
use super::units::{self, Unfit};
use super::{option, vars};
use crate::{Error, Result};

/// The names that each batch sets.
pub const BATCH_VARIABLES: [&str; 2] = ["batch_size", "after"];

/// The `[variables]` of a scenario.
///
/// # Errors
///
/// For a name that cannot stand in `${…}` or that batches need, and for a value that is no scalar.
pub fn of_scenario(document: &Document<'_>) -> Result<BTreeMap<String, String>> {
    let top = KeyPath::top("variables");
    let table = match document.peek("variables") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Table(table)) => table,
        Some(other) => {
            let message = format!("has to be a table, not {}", units::kind_of(&other));
            return Err(document.error(&top, &message));
        }
    };
    let mut variables = BTreeMap::new();
    for (name, value) in table {
        let at = top.key(&name);
        possible(&name).map_err(|unfit| document.unfit(&at, unfit))?;
        let Some(value) = units::scalar(&value) else {
            let message = format!(
                "has to be a string, an integer or a boolean, not {}",
                units::kind_of(&value)
            );
            return Err(document
                .error(&at, &message)
                .help("write it in quotes, as the SQL has it"));
        };
        variables.insert(name, value);
    }
    Ok(variables)
}

/// The variables of `--var`.
///
/// # Errors
///
/// For what is no `name=value`, and for a name that is there twice or cannot be.
pub fn typed(typed: &[String]) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for pair in typed {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::usage(format!("`--var {pair}` is no `name=value`"))
                .help("write it like `--var rows=250000`"));
        };
        let shown = format!("--var {name}");
        possible(name).map_err(|unfit| option(&shown, unfit))?;
        if variables
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            return Err(
                Error::usage(format!("`{shown}` is there twice")).help("leave one of them out")
            );
        }
    }
    Ok(variables)
}

/// Refuses variables of `--var` that are not among the known ones: they would set nothing.
///
/// # Errors
///
/// For the first such variable, with the known ones.
pub fn refuse_unknown(
    typed: &BTreeMap<String, String>,
    known: &BTreeSet<&str>,
    why: &str,
) -> Result<()> {
    let Some(unknown) = typed.keys().find(|name| !known.contains(name.as_str())) else {
        return Ok(());
    };
    let help = match (nearest(unknown, known.iter().copied()), known.is_empty()) {
        (Some(name), _) => format!(
            "did you mean `{name}`? known are {}",
            listed(known.iter().copied())
        ),
        (None, false) => format!("known are {}", listed(known.iter().copied())),
        (None, true) => "there are no variables here".to_owned(),
    };
    Err(Error::usage(format!("`--var {unknown}` sets nothing: {why}")).help(help))
}

/// The names that a text uses as `${name}`.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("${").filter_map(|(start, opening)| {
        let rest = &text[start + opening.len()..];
        let name = &rest[..rest.find('}')?];
        vars::is_name(name).then_some(name)
    })
}

/// Refuses a name that `${…}` cannot hold or that a batch sets itself.
fn possible(name: &str) -> Result<(), Unfit> {
    if !vars::is_name(name) {
        return Err(Unfit::new(
            "cannot stand in `${…}`",
            "a name is a letter or `_`, then letters, digits and `_`",
        ));
    }
    if BATCH_VARIABLES.contains(&name) {
        return Err(Unfit::new(
            "is a name that every batch sets itself",
            "choose another name for the variable",
        ));
    }
    Ok(())
}
