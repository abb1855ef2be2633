//! A TOML file whose every complaint names the key's full path and its line.
//!
//! Knows TOML and serde's messages, nothing of scenarios.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};
use toml::{Spanned, Value};

use super::suggest::{listed, nearest};
use super::units::{self, Unfit};
use super::vars;
use crate::{Error, Result};

/// Where a key is: `steps[2].retry.attempts`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// The path of a key at the top.
    pub fn top(key: &str) -> Self {
        Self::default().key(key)
    }

    /// The path of a key of this table.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// The path of an item of this array, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    if depth > 0 {
                        f.write_str(".")?;
                    }
                    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                    if !key.is_empty() && key.bytes().all(bare) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A parsed TOML file.
#[derive(Debug)]
pub struct Document<'t> {
    file: &'t Path,
    text: &'t str,
    root: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// Parses the text of a file.
    ///
    /// # Errors
    ///
    /// If it is not valid TOML, with the line.
    pub fn parse(file: &'t Path, text: &'t str) -> Result<Self> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self {
                file,
                text,
                root: root.into_inner(),
            }),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                let (line, column) = crate::sql::line_column(text, start);
                Err(Error::usage(format!(
                    "`{}`, line {line}, column {column}: not valid TOML: {}",
                    file.display(),
                    error.message()
                )))
            }
        }
    }

    /// The value of a key at the top, before anything is read or put in.
    pub fn peek(&self, key: &str) -> Option<Value> {
        let value = self.root.get(key)?.clone();
        Value::deserialize(ValueDeserializer::from(value)).ok()
    }

    /// The whole document as a typed value.
    ///
    /// # Errors
    ///
    /// For an unknown key, a value of another type, a name that is none of the possible ones.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let root = Spanned::new(0..self.text.len(), self.root.clone());
        T::deserialize(Deserializer::from(root)).map_err(|error| self.translated(&error))
    }

    /// Puts the variables into every string but those that `skip` says to leave.
    ///
    /// # Errors
    ///
    /// For a name that is not defined.
    pub fn substitute(
        &mut self,
        variables: &BTreeMap<String, String>,
        skip: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let mut failed = None;
        for (key, value) in self.root.iter_mut() {
            let path = KeyPath::top(key.get_ref());
            if let Err(problem) = put_in(value, &path, variables, &skip) {
                failed = Some(problem);
                break;
            }
        }
        match failed {
            None => Ok(()),
            Some((path, undefined)) => {
                let message = format!("uses `${{{}}}`, which is not defined", undefined.name);
                let error = self.error(&path, &message);
                Err(error.help(undefined_help(
                    &undefined,
                    "add it to `[variables]`, or pass",
                )))
            }
        }
    }

    /// A complaint about the key at `path`, worded to follow its name.
    pub fn error(&self, path: &KeyPath, message: &str) -> Error {
        Error::usage(format!("{}: `{path}` {message}", self.place(path)))
    }

    /// The key for messages about what it holds: `` `steps[0].sql` of `scenario.toml` ``.
    pub fn shown(&self, path: &KeyPath) -> String {
        format!("`{path}` of `{}`", self.file.display())
    }

    /// What does not fit about the key at `path`.
    pub fn unfit(&self, path: &KeyPath, unfit: Unfit) -> Error {
        self.error(path, &unfit.message).help(unfit.help)
    }

    /// The line that the first line of the text at `path` stands on, from 1.
    pub fn text_line(&self, path: &KeyPath) -> usize {
        let start = self.value_offset(path).unwrap_or(0);
        let (line, _) = crate::sql::line_column(self.text, start);
        // A line break right behind the opening quotes is none of the text.
        let quotes = self.text.get(start..start + 3);
        let behind = self.text.get(start + 3..).unwrap_or_default();
        let opened = matches!(quotes, Some("\"\"\"" | "'''"));
        line + usize::from(opened && behind.starts_with(['\n', '\r']))
    }

    /// The time of the key at `path`; None: it is not there.
    ///
    /// # Errors
    ///
    /// For a value without a unit, and for one that `read` does not take.
    pub fn unit(
        &self,
        path: &KeyPath,
        value: &Option<Value>,
        read: fn(&str) -> Result<Duration, Unfit>,
    ) -> Result<Option<Duration>> {
        let Some(value) = value else { return Ok(None) };
        units::with_unit(value)
            .and_then(|text| read(&text))
            .map(Some)
            .map_err(|unfit| self.unfit(path, unfit))
    }

    /// `` `scenario.toml`, line 7 ``.
    fn place(&self, path: &KeyPath) -> String {
        self.place_of(self.offset(path))
    }

    fn place_of(&self, offset: Option<usize>) -> String {
        let file = self.file.display();
        match offset {
            Some(offset) => {
                let (line, _) = crate::sql::line_column(self.text, offset);
                format!("`{file}`, line {line}")
            }
            None => format!("`{file}`"),
        }
    }

    /// Where the last part of the path that exists begins.
    fn offset(&self, path: &KeyPath) -> Option<usize> {
        self.offsets(path).map(|(key, _)| key)
    }

    /// Where the value of that part begins.
    fn value_offset(&self, path: &KeyPath) -> Option<usize> {
        self.offsets(path).map(|(_, value)| value)
    }

    fn offsets(&self, path: &KeyPath) -> Option<(usize, usize)> {
        let mut found = None;
        let mut table = Some(&self.root);
        let mut array: Option<&toml::de::DeArray<'_>> = None;
        for segment in &path.0 {
            let value = match segment {
                Segment::Key(key) => {
                    let Some((key, value)) = table.and_then(|t| t.get_key_value(key.as_str()))
                    else {
                        break;
                    };
                    found = Some((key.span().start, value.span().start));
                    value
                }
                Segment::Index(index) => {
                    let Some(value) = array.and_then(|array| array.get(*index)) else {
                        break;
                    };
                    found = Some((value.span().start, value.span().start));
                    value
                }
            };
            table = value.get_ref().as_table();
            array = value.get_ref().as_array();
        }
        found
    }

    /// serde's complaint in our words, with the path of the key that it is about.
    fn translated(&self, error: &toml::de::Error) -> Error {
        let span = error.span();
        let path = span
            .as_ref()
            .and_then(|span| path_in_table(&self.root, span, &KeyPath::default()))
            .unwrap_or_default();
        let place = self.place_of(span.map(|span| span.start));
        let message = error.message();
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let quoted = what.split('`').nth(1).unwrap_or_default();
        let choices = |intro: &str| match nearest(quoted, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("{intro} {}", listed(names.iter().copied())),
        };
        if what.starts_with("unknown field") {
            Error::usage(format!("{place}: unknown key `{path}`"))
                .help(choices("the keys here are"))
        } else if what.starts_with("unknown variant") {
            Error::usage(format!("{place}: `{path}` cannot be `{quoted}`"))
                .help(choices("it is one of"))
        } else if let Some(found) = what.strip_prefix("invalid type: ") {
            Error::usage(format!(
                "{place}: `{path}` has to be {}, not {}",
                in_toml(expected),
                in_toml(found)
            ))
        } else {
            Error::usage(format!("{place}: `{path}`: {message}"))
        }
    }
}

/// The help for a variable that nothing defines.
pub fn undefined_help(undefined: &vars::Undefined, otherwise: &str) -> String {
    match &undefined.suggestion {
        Some(name) => format!("did you mean `${{{name}}}`?"),
        None => format!("{otherwise} `--var {}=VALUE`", undefined.name),
    }
}

fn put_in(
    value: &mut Spanned<DeValue<'_>>,
    path: &KeyPath,
    variables: &BTreeMap<String, String>,
    skip: &impl Fn(&str) -> bool,
) -> Result<(), (KeyPath, vars::Undefined)> {
    if skip(&path.to_string()) {
        return Ok(());
    }
    match value.get_mut() {
        DeValue::String(text) => {
            *text = vars::substitute(text, variables)
                .map_err(|undefined| (path.clone(), undefined))?
                .into();
        }
        DeValue::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                put_in(item, &path.index(index), variables, skip)?;
            }
        }
        DeValue::Table(table) => {
            for (key, value) in table.iter_mut() {
                put_in(value, &path.key(key.get_ref()), variables, skip)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The path of the innermost key or item that `span` lies in.
///
/// A table's own span is that of its header only, so its keys are looked at whatever it is.
fn path_in_table(table: &DeTable<'_>, span: &Range<usize>, at: &KeyPath) -> Option<KeyPath> {
    table.iter().find_map(|(key, value)| {
        let path = at.key(key.get_ref());
        path_in_value(value, span, &path).or_else(|| within(span, &key.span()).then_some(path))
    })
}

fn path_in_value(
    value: &Spanned<DeValue<'_>>,
    span: &Range<usize>,
    at: &KeyPath,
) -> Option<KeyPath> {
    let inner = match value.get_ref() {
        DeValue::Table(table) => path_in_table(table, span, at),
        DeValue::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| path_in_value(item, span, &at.index(index))),
        _ => None,
    };
    inner.or_else(|| within(span, &value.span()).then(|| at.clone()))
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// serde's names of things as TOML has them.
fn in_toml(name: &str) -> String {
    match name {
        "map" | "a map" => "a table".to_owned(),
        "sequence" | "a sequence" => "an array".to_owned(),
        "path string" => "a string".to_owned(),
        _ if name.starts_with("struct ") => "a table".to_owned(),
        _ if name.starts_with("integer ") => format!("the {name}"),
        _ if name.starts_with("string ") => format!("the {name}"),
        _ if name.starts_with("boolean ") => format!("the {name}"),
        _ if name.starts_with("floating point ") => {
            format!("the float {}", name.trim_start_matches("floating point "))
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Top {
        #[serde(default)]
        items: Vec<Item>,
        name: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Item {
        size: Option<u32>,
        inner: Option<BTreeMap<String, bool>>,
        level: Option<crate::plan::Level>,
    }

    fn story(text: &str) -> String {
        let document = Document::parse(Path::new("f.toml"), text).unwrap_or_else(|e| panic!("{e}"));
        match document.read::<Top>() {
            Ok(top) => panic!("{top:?}"),
            Err(error) => error.story(),
        }
    }

    #[test]
    fn a_complaint_names_the_path_and_the_line() {
        for (text, expected) in [
            (
                "[[items]]\nsize = 1\n[[items]]\nsice = 2",
                "`f.toml`, line 4: unknown key `items[1].sice`\n  help: did you mean `size`?",
            ),
            (
                "colour = 1",
                "`f.toml`, line 1: unknown key `colour`\n  help: the keys here are `items` and `name`",
            ),
            (
                "\nname = 5",
                "`f.toml`, line 2: `name` has to be a string, not the integer `5`",
            ),
            (
                "items = 5",
                "`f.toml`, line 1: `items` has to be an array, not the integer `5`",
            ),
            (
                "[items]\nsize = 5",
                "`f.toml`, line 1: `items` has to be an array, not a table",
            ),
            (
                "items = [{ inner = { \"a b\" = 3 } }]",
                "`f.toml`, line 1: `items[0].inner.\"a b\"` has to be a boolean, not the integer `3`",
            ),
            (
                "[[items]]\n[items.inner]\nx = true\ny = []",
                "`f.toml`, line 4: `items[0].inner.y` has to be a boolean, not an array",
            ),
            (
                "[[items]]\nlevel = \"fial\"",
                "`f.toml`, line 2: `items[0].level` cannot be `fial`\n  help: did you mean `fail`?",
            ),
        ] {
            assert_eq!(story(text), expected);
        }
    }

    #[test]
    fn invalid_toml_names_the_place() {
        let error = Document::parse(Path::new("f.toml"), "a = 1\nb = x\n").map(|_| ());
        assert_eq!(
            error.map_err(|error| error.to_string()),
            Err("`f.toml`, line 2, column 5: not valid TOML: string values must be quoted, expected literal string".into())
        );
    }
}
