//! The keys of a description, read one by one, so that each complaint names the whole key.

use std::collections::BTreeMap;

use jiff::Timestamp;
use toml::{Table, Value};

use crate::config::suggest::nearest;

/// What is wrong with a description, before it is known which file it is.
#[derive(Debug)]
pub(in crate::snapshot) struct Defect {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Defect {
    pub(in crate::snapshot) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    pub(in crate::snapshot) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A table and its path, so that each complaint names the whole key.
pub(in crate::snapshot) struct Keys<'a> {
    path: &'a str,
    pub(super) table: &'a Table,
}

impl<'a> Keys<'a> {
    pub(super) fn new(path: &'a str, table: &'a Table) -> Self {
        Self { path, table }
    }

    pub(super) fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(in crate::snapshot) fn only(&self, known: &[&str]) -> Result<(), Defect> {
        for key in self.table.keys() {
            if !known.contains(&key.as_str()) {
                let defect = Defect::new(format!("unknown key `{}`", self.full(key)));
                return Err(match nearest(key, known.iter().copied()) {
                    Some(meant) => defect.help(format!("did you mean `{}`?", self.full(meant))),
                    None => defect.help(format!("known here: `{}`", known.join("`, `"))),
                });
            }
        }
        Ok(())
    }

    pub(super) fn wrong(&self, key: &str, value: &Value, wanted: &str) -> Defect {
        Defect::new(format!(
            "`{}` is {}, and it has to be {wanted}",
            self.full(key),
            kind(value)
        ))
    }

    pub(super) fn table(&self, key: &'a str) -> Result<Option<Keys<'a>>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Keys::new(key, table))),
            Some(other) => Err(self.wrong(key, other, "a table")),
        }
    }

    /// An array of tables, whichever way it is written.
    pub(super) fn tables(&self, key: &'a str) -> Result<Vec<Keys<'a>>, Defect> {
        let Some(value) = self.table.get(key) else {
            return Ok(Vec::new());
        };
        let tables = value.as_array().and_then(|values| {
            values
                .iter()
                .map(|value| value.as_table().map(|table| Keys::new(key, table)))
                .collect::<Option<Vec<_>>>()
        });
        tables.ok_or_else(|| self.wrong(key, value, "an array of tables"))
    }

    /// A table of strings; empty where there is none.
    pub(in crate::snapshot) fn texts(
        &self,
        key: &'a str,
    ) -> Result<BTreeMap<String, String>, Defect> {
        let Some(keys) = self.table(key)? else {
            return Ok(BTreeMap::new());
        };
        keys.table
            .keys()
            .map(|name| Ok((name.clone(), keys.string(name)?.unwrap_or_default())))
            .collect()
    }

    pub(in crate::snapshot) fn string(&self, key: &str) -> Result<Option<String>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    pub(in crate::snapshot) fn strings(&self, key: &str) -> Result<Option<Vec<String>>, Defect> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let strings = value.as_array().and_then(|values| {
            values
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect::<Option<Vec<String>>>()
        });
        match strings {
            Some(strings) => Ok(Some(strings)),
            None => Err(self.wrong(key, value, "an array of strings")),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(key, other, "`true` or `false`")),
        }
    }

    pub(super) fn number(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => u32::try_from(*number)
                .ok()
                .filter(|number| (least..=most).contains(number))
                .map(Some)
                .ok_or_else(|| {
                    Defect::new(format!(
                        "`{}` is {number}, and it has to be from {least} to {most}",
                        self.full(key)
                    ))
                }),
            Some(other) => Err(self.wrong(key, other, "an integer")),
        }
    }

    /// A string or TOML's own date with time and offset.
    pub(super) fn timestamp(&self, key: &str) -> Result<Option<Timestamp>, Defect> {
        let text = match self.table.get(key) {
            None => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Datetime(date)) => date.to_string(),
            Some(other) => return Err(self.wrong(key, other, "a point in time")),
        };
        text.parse().map(Some).map_err(|_| {
            Defect::new(format!(
                "`{}` is `{text}`, and it has to be a point in time",
                self.full(key)
            ))
            .help("write it as `2026-11-01T00:00:00Z`")
        })
    }
}

pub(super) fn not_empty(key: &str, text: String) -> Result<String, Defect> {
    if text.trim().is_empty() {
        return Err(Defect::new(format!("`{key}` is empty")));
    }
    Ok(text)
}

/// What a value is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "a truth value",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}
