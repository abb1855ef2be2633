//! Which tables a server has, and what is taken of each.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::{Asked, failed};
use crate::config::suggest::nearest;
use crate::snapshot::pattern::{Pattern, Visible};
use crate::{Error, Result};

/// A table, view or foreign table of the source.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub oid: u32,
    schema: String,
    name: String,
    /// Schema and name, quoted where SQL needs it.
    pub quoted: String,
    kind: Kind,
    unlogged: bool,
    visible: Visible,
    readable: bool,
    /// By the planner's statistics; None: it was never analyzed.
    pub rows: Option<u64>,
    /// With TOAST, without indexes: what is read.
    pub bytes: u64,
    /// With indexes: what a restore writes, at the most.
    pub total: u64,
    /// Those that it is a partition or an heir of.
    parents: Vec<u32>,
    /// Those that are not generated, in their order.
    pub columns: Vec<String>,
}

/// What kind of relation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It holds rows.
    Table,
    /// Its partitions hold rows.
    Partitioned,
    /// A view, also one that holds rows; a foreign table.
    Other,
}

impl Table {
    /// As reports name it: with its schema unless that is `public`.
    pub fn shown(&self) -> &str {
        self.quoted.strip_prefix("public.").unwrap_or(&self.quoted)
    }
}

/// What is taken of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of it.
    Whole,
    /// The rows that meet a condition.
    Rows(String),
    /// None of its rows.
    Empty,
    /// Not even the table.
    Nothing,
}

/// All tables, by oid, and what is taken of them.
#[derive(Debug)]
pub(super) struct Tables {
    all: BTreeMap<u32, (Table, Taken)>,
    /// What was asked for, each table that was named once: `partial` of the description.
    pub named: Vec<(String, Taken)>,
}

impl Tables {
    /// Reads the catalogue and applies what was asked for; `standby`: unlogged tables cannot be read.
    pub async fn choose(client: &Client, asked: &Asked, standby: bool) -> Result<Self> {
        let rows = client
            .query(include_str!("../queries/takeable.sql"), &[])
            .await
            .map_err(|error| failed("cannot list the tables", error))?;
        let mut tables = Self {
            all: rows
                .iter()
                .map(table)
                .map(|t| (t.oid, (t, Taken::Whole)))
                .collect(),
            named: Vec::new(),
        };
        for (option, patterns, taken) in [
            ("--exclude-data", &asked.exclude_data, Taken::Empty),
            ("--exclude", &asked.exclude, Taken::Nothing),
        ] {
            for pattern in patterns {
                tables.apply(option, pattern, &taken)?;
            }
        }
        for (pattern, condition) in &asked.conditions {
            tables.apply("--where", pattern, &Taken::Rows(condition.clone()))?;
        }
        if standby {
            tables.leave_out_unlogged();
        }
        tables.refuse_unreadable()?;
        Ok(tables)
    }

    fn apply(&mut self, option: &str, pattern: &Pattern, taken: &Taken) -> Result<()> {
        let meant: Vec<u32> = self
            .all
            .values()
            .filter(|(table, _)| pattern.matches(&table.schema, &table.name, table.visible))
            .filter(|(table, _)| table.kind != Kind::Other || *taken == Taken::Nothing)
            .map(|(table, _)| table.oid)
            .collect();
        if meant.is_empty() {
            return Err(self.unknown(option, pattern));
        }
        for oid in meant {
            let family = self.family(oid);
            for member in &family {
                let Some((table, present)) = self.all.get_mut(member) else {
                    continue;
                };
                if matches!((&*present, taken), (Taken::Rows(_), Taken::Rows(_)))
                    || *taken != Taken::Nothing && *present == Taken::Nothing
                    || matches!(taken, Taken::Rows(_)) && *present == Taken::Empty
                {
                    return Err(Error::usage(format!(
                        "`{}` is asked for in two ways, the second is `{option} {}`",
                        table.shown(),
                        pattern.typed()
                    ))
                    .help(
                        "name each table in one of `--exclude`, `--exclude-data` and `--where`",
                    ));
                }
                *present = taken.clone();
            }
            if let Some((table, _)) = self.all.get(&oid) {
                let name = table.shown().to_owned();
                self.named.retain(|(known, _)| *known != name);
                self.named.push((name, taken.clone()));
            }
        }
        Ok(())
    }

    fn unknown(&self, option: &str, pattern: &Pattern) -> Error {
        let error = Error::usage(format!(
            "`{option} {}` names no table of the source",
            pattern.typed()
        ));
        let names: Vec<&str> = self.all.values().map(|(table, _)| table.shown()).collect();
        let elsewhere = self
            .all
            .values()
            .find(|(table, _)| pattern.matches(&table.schema, &table.name, Visible::OnThePath))
            .map(|(table, _)| &*table.quoted);
        match elsewhere.or_else(|| nearest(pattern.typed(), names.iter().copied())) {
            Some(meant) => error.help(format!("did you mean `{meant}`?")),
            None => error.help("a table that is not on the search path is named with its schema; `*` stands for any characters"),
        }
    }

    /// The table, its partitions and heirs.
    fn family(&self, oid: u32) -> BTreeSet<u32> {
        let mut family = BTreeSet::from([oid]);
        loop {
            let before = family.len();
            for (table, _) in self.all.values() {
                if table.parents.iter().any(|parent| family.contains(parent)) {
                    family.insert(table.oid);
                }
            }
            if family.len() == before {
                return family;
            }
        }
    }

    fn leave_out_unlogged(&mut self) {
        for (table, taken) in self.all.values_mut() {
            if table.unlogged && !matches!(taken, Taken::Nothing | Taken::Empty) {
                *taken = Taken::Empty;
                let name = table.shown().to_owned();
                self.named.retain(|(known, _)| *known != name);
                self.named.push((name, Taken::Empty));
            }
        }
    }

    /// Now, rather than in the middle of the dump.
    fn refuse_unreadable(&self) -> Result<()> {
        let unreadable: Vec<&str> = self
            .all
            .values()
            .filter(|(table, taken)| {
                !table.readable
                    && table.kind != Kind::Other
                    && matches!(taken, Taken::Whole | Taken::Rows(_))
            })
            .map(|(table, _)| table.shown())
            .collect();
        if unreadable.is_empty() {
            return Ok(());
        }
        Err(Error::stage(format!(
            "the role may not read `{}`",
            unreadable.join("`, `")
        ))
        .help(
            "grant SELECT on them (`GRANT pg_read_all_data TO …` from PostgreSQL 14), or leave them \
             out with `--exclude-data`",
        ))
    }

    /// Every table with what is taken of it, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Table, &Taken)> {
        let mut all: Vec<_> = self
            .all
            .values()
            .map(|(table, taken)| (table, taken))
            .collect();
        all.sort_by(|(a, _), (b, _)| a.quoted.cmp(&b.quoted));
        all.into_iter()
    }

    /// Those that hold rows of their own and are taken in part, with the condition.
    pub fn filtered(&self) -> impl Iterator<Item = (&Table, &str)> {
        self.iter().filter_map(|(table, taken)| match taken {
            Taken::Rows(condition) if table.kind == Kind::Table => Some((table, &**condition)),
            _ => None,
        })
    }

    /// Those that hold rows of their own and are taken whole.
    pub fn whole(&self) -> impl Iterator<Item = &Table> {
        self.iter()
            .filter(|(table, taken)| **taken == Taken::Whole && table.kind == Kind::Table)
            .map(|(table, _)| table)
    }

    /// What pg_dump is told.
    pub fn arguments(&self) -> Vec<String> {
        self.iter()
            .filter_map(|(table, taken)| match taken {
                Taken::Whole => None,
                Taken::Nothing => Some(format!("--exclude-table={}", table.quoted)),
                Taken::Rows(_) | Taken::Empty => {
                    Some(format!("--exclude-table-data={}", table.quoted))
                }
            })
            .collect()
    }

    /// The oids of what is left out altogether.
    pub fn left_out(&self) -> Vec<u32> {
        self.all
            .values()
            .filter(|(_, taken)| *taken == Taken::Nothing)
            .map(|(table, _)| table.oid)
            .collect()
    }

    pub fn get(&self, oid: u32) -> Option<(&Table, &Taken)> {
        self.all.get(&oid).map(|(table, taken)| (table, taken))
    }

    /// The tables whose rows a foreign key of or to this one covers: itself, or its partitions.
    pub fn holders(&self, oid: u32) -> Vec<(&Table, &Taken)> {
        match self.get(oid) {
            Some((table, _)) if table.kind == Kind::Partitioned => self
                .family(oid)
                .into_iter()
                .filter_map(|member| self.get(member))
                .filter(|(table, _)| table.kind == Kind::Table)
                .collect(),
            Some(own) => vec![own],
            None => Vec::new(),
        }
    }
}

fn table(row: &tokio_postgres::Row) -> Table {
    let bytes = |name: &str| row.get::<_, i64>(name).unsigned_abs();
    Table {
        oid: row.get("oid"),
        schema: row.get("schema"),
        name: row.get("name"),
        quoted: row.get("quoted"),
        kind: match row.get::<_, &str>("kind") {
            "r" => Kind::Table,
            "p" => Kind::Partitioned,
            _ => Kind::Other,
        },
        unlogged: row.get("unlogged"),
        visible: if row.get("visible") {
            Visible::OnThePath
        } else {
            Visible::BySchema
        },
        readable: row.get("readable"),
        rows: row.get::<_, Option<f64>>("rows").map(|rows| rows as u64),
        bytes: bytes("bytes"),
        total: bytes("total"),
        parents: row.get("parents"),
        columns: row.get("columns"),
    }
}
