//! `[[disturbances]]` as typed → `plan::Disturbance`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use toml::Value;

use super::document::{Document, KeyPath};
use super::suggest::{listed, nearest};
use super::units::{self, Unfit};
use crate::Result;
use crate::plan::{Begins, Disturbance, DisturbanceKind, Step, Wants, Wrote};

/// How long somebody is in the way who would stay for ever.
const USUAL: Duration = Duration::from_secs(5);
/// How long a writer rests after each table.
const PAUSE: Duration = Duration::from_millis(100);
/// The part of a table whose rows a truncating vacuum finds deleted.
const DELETES: f64 = 0.1;

const KINDS: [&str; 7] = [
    "long-reader",
    "pg-dump",
    "idle-transaction",
    "writer",
    "advisory-waiter",
    "wraparound-vacuum",
    "truncating-vacuum",
];

/// One of `[[disturbances]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisturbanceText {
    /// None: its kind.
    pub name: Option<String>,
    /// What it does.
    pub kind: Option<String>,
    /// The step that it begins with.
    pub with: Option<String>,
    /// From the first step's beginning.
    pub after: Option<Value>,
    /// From when it is in place.
    pub lasts: Option<Value>,
    /// The table.
    pub table: Option<String>,
    /// The tables of a writer, in its order.
    pub tables: Option<Vec<String>>,
    /// Whether an idle transaction wrote.
    pub wrote: Option<bool>,
    /// A writer's, after each table.
    pub pause: Option<Value>,
    /// An advisory lock's.
    pub key: Option<i64>,
    /// Whether it polls for it.
    pub polls: Option<bool>,
    /// The part of a table whose rows are deleted first.
    pub deletes: Option<Value>,
}

/// Whose server the stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Thrown away after the run.
    Ours,
    /// Somebody else's.
    Theirs,
}

/// The disturbances in their order.
///
/// # Errors
///
/// For the first thing about them that cannot be.
pub fn read(
    document: &Document<'_>,
    typed: &[DisturbanceText],
    steps: &[Step],
    server: Server,
) -> Result<Vec<Disturbance>> {
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(typed.len());
    for (index, text) in typed.iter().enumerate() {
        let at = KeyPath::top("disturbances").index(index);
        let disturbance = Reader { document, at, text }.read(steps, server)?;
        if !names.insert(disturbance.name.clone()) {
            let at = KeyPath::top("disturbances").index(index);
            let message = format!("is a second disturbance named `{}`", disturbance.name);
            return Err(document
                .error(&at, &message)
                .help("give it a `name` of its own"));
        }
        all.push(disturbance);
    }
    Ok(all)
}

struct Reader<'a> {
    document: &'a Document<'a>,
    at: KeyPath,
    text: &'a DisturbanceText,
}

impl Reader<'_> {
    fn read(&self, steps: &[Step], server: Server) -> Result<Disturbance> {
        let Some(kind) = self.text.kind.as_deref() else {
            return Err(self
                .document
                .error(&self.at, "lacks its `kind`")
                .help(format!("one of {}", listed(KINDS))));
        };
        self.only_its_own_keys(kind)?;
        let kind = self.kind(kind)?;
        let changes_the_server = matches!(
            kind,
            DisturbanceKind::WraparoundVacuum { .. } | DisturbanceKind::TruncatingVacuum { .. }
        );
        if changes_the_server && server == Server::Theirs {
            let message = format!(
                "is a `{}`, which changes the server and its rows",
                kind.name()
            );
            return Err(self
                .document
                .error(&self.at, &message)
                .help("run it on a stage of lockproof's own"));
        }
        let name = match self.text.name.as_deref().map(str::trim) {
            None => kind.name().to_owned(),
            Some(name) if !name.is_empty() && !name.contains(char::is_control) => name.to_owned(),
            Some(_) => {
                return Err(self
                    .document
                    .error(&self.at.key("name"), "makes no name")
                    .help("a name is one line of text"));
            }
        };
        Ok(Disturbance {
            name,
            begins: self.begins(steps)?,
            lasts: match self.unit("lasts", &self.text.lasts, units::duration)? {
                None if stays_for_ever(&kind) => Some(USUAL),
                lasts => lasts,
            },
            kind,
        })
    }

    fn kind(&self, kind: &str) -> Result<DisturbanceKind> {
        Ok(match kind {
            "long-reader" => DisturbanceKind::LongReader {
                relation: self.table()?,
            },
            "pg-dump" => DisturbanceKind::PgDump,
            "idle-transaction" => DisturbanceKind::IdleTransaction {
                relation: self.table()?,
                wrote: match self.text.wrote {
                    Some(true) => Wrote::Yes,
                    Some(false) | None => Wrote::No,
                },
            },
            "writer" => DisturbanceKind::Writer {
                relations: match &self.text.tables {
                    Some(tables) if tables.len() >= 2 => tables.clone(),
                    _ => {
                        return Err(self
                            .document
                            .error(
                                &self.at,
                                "lacks its `tables`, of which it writes at least two",
                            )
                            .help("add them in its order, such as `tables = [\"b\", \"a\"]`"));
                    }
                },
                pause: self
                    .unit("pause", &self.text.pause, units::rest)?
                    .unwrap_or(PAUSE),
            },
            "advisory-waiter" => DisturbanceKind::AdvisoryWaiter {
                key: self.text.key.ok_or_else(|| {
                    self.document
                        .error(&self.at, "lacks its `key`")
                        .help("add the number of the advisory lock, such as `key = 42`")
                })?,
                wants: match self.text.polls {
                    Some(true) => Wants::Polling,
                    Some(false) | None => Wants::Waiting,
                },
            },
            "wraparound-vacuum" => DisturbanceKind::WraparoundVacuum {
                relation: self.table()?,
            },
            "truncating-vacuum" => DisturbanceKind::TruncatingVacuum {
                relation: self.table()?,
                deletes: self.deletes()?,
            },
            other => {
                let error = self.document.error(
                    &self.at.key("kind"),
                    &format!("is no kind of disturbance: `{other}`"),
                );
                return Err(error.help(match nearest(other, KINDS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("one of {}", listed(KINDS)),
                }));
            }
        })
    }

    /// A key that its kind has no use for is a slip.
    fn only_its_own_keys(&self, kind: &str) -> Result<()> {
        let text = self.text;
        let keys: [(&str, bool, &[&str]); 7] = [
            (
                "table",
                text.table.is_some(),
                &[
                    "long-reader",
                    "idle-transaction",
                    "wraparound-vacuum",
                    "truncating-vacuum",
                ],
            ),
            ("tables", text.tables.is_some(), &["writer"]),
            ("wrote", text.wrote.is_some(), &["idle-transaction"]),
            ("pause", text.pause.is_some(), &["writer"]),
            ("key", text.key.is_some(), &["advisory-waiter"]),
            ("polls", text.polls.is_some(), &["advisory-waiter"]),
            ("deletes", text.deletes.is_some(), &["truncating-vacuum"]),
        ];
        let foreign = keys
            .into_iter()
            .find(|(_, there, kinds)| *there && KINDS.contains(&kind) && !kinds.contains(&kind));
        match foreign {
            None => Ok(()),
            Some((key, _, kinds)) => {
                let message = format!("means nothing for a `{kind}`");
                Err(self
                    .document
                    .error(&self.at.key(key), &message)
                    .help(format!("`{key}` is for {}", listed(kinds.iter().copied()))))
            }
        }
    }

    fn table(&self) -> Result<String> {
        match self.text.table.as_deref().map(str::trim) {
            Some(table) if !table.is_empty() => Ok(table.to_owned()),
            _ => Err(self
                .document
                .error(&self.at, "lacks its `table`")
                .help("add it, such as `table = \"orders\"`")),
        }
    }

    fn begins(&self, steps: &[Step]) -> Result<Begins> {
        match (&self.text.with, &self.text.after) {
            (Some(_), Some(_)) => Err(self
                .document
                .error(&self.at.key("after"), "stands beside `with`")
                .help("it begins with a step, or at a time: leave one of them out")),
            (None, None) => Ok(Begins::With(0)),
            (None, after) => {
                let after = self.unit("after", after, units::rest)?;
                Ok(Begins::After(after.unwrap_or_default()))
            }
            (Some(with), None) => {
                let names = || steps.iter().map(|step| step.name.as_str());
                match names().position(|name| name == with) {
                    Some(step) => Ok(Begins::With(step)),
                    None => Err(self
                        .document
                        .error(&self.at.key("with"), &format!("names no step: `{with}`"))
                        .help(match nearest(with, names()) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("the steps are {}", listed(names())),
                        })),
                }
            }
        }
    }

    fn deletes(&self) -> Result<f64> {
        let Some(value) = &self.text.deletes else {
            return Ok(DELETES);
        };
        let percent = value
            .as_str()
            .and_then(|text| text.trim().strip_suffix('%'))
            .and_then(|number| number.trim().parse::<f64>().ok())
            .filter(|percent| (0.0..=100.0).contains(percent));
        percent.map(|percent| percent / 100.0).ok_or_else(|| {
            self.document
                .error(&self.at.key("deletes"), "is no part of a table")
                .help("write it as a percentage, such as `deletes = \"10%\"`; `\"0%\"` deletes nothing")
        })
    }

    fn unit(
        &self,
        key: &str,
        value: &Option<Value>,
        read: fn(&str) -> Result<Duration, Unfit>,
    ) -> Result<Option<Duration>> {
        self.document.unit(&self.at.key(key), value, read)
    }
}

/// True for those that would be in the way of a step until that step ends.
fn stays_for_ever(kind: &DisturbanceKind) -> bool {
    !matches!(
        kind,
        DisturbanceKind::PgDump
            | DisturbanceKind::Writer { .. }
            | DisturbanceKind::TruncatingVacuum { .. }
    )
}
