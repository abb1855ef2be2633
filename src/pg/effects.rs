//! What changed on a server between two looks, from its catalogue and its counters: how relations are defined, rows that
//! were changed and committed, and the rows of the system's own tables.
//!
//! Counted is only what is committed, and what autovacuum does by itself is no change.

use std::collections::BTreeMap;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::queries;
use crate::recording::format::{Changed, Effects};

/// Tables in which tools only note that they run: a row of them is no migration.
const LOCKS_OF_TOOLS: [&str; 2] = ["databasechangeloglock", "knex_migrations_lock"];
/// Catalogues in which a temporary table has rows while its session lives: beside others, they tell nothing.
const OF_TEMPORARY_TABLES: [&str; 7] = [
    "pg_attrdef",
    "pg_attribute",
    "pg_constraint",
    "pg_depend",
    "pg_index",
    "pg_shdepend",
    "pg_type",
];

/// One look.
#[derive(Debug, Clone, Default)]
pub struct Look {
    relations: BTreeMap<u32, Entry>,
    catalogues: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    definition: String,
    committed: i64,
    attempted: i64,
    analyzed: i64,
    maintained: i64,
}

impl Look {
    /// Looks.
    ///
    /// # Errors
    /// The server's words; also when the migration left the catalogue locked.
    pub async fn take(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let rows = client.query(queries::EFFECTS, &[]).await?;
        let relations = rows
            .iter()
            .map(|row| {
                let entry = Entry {
                    name: row.get("name"),
                    definition: row.get("definition"),
                    committed: row.get("committed"),
                    attempted: row.get("attempted"),
                    analyzed: row.get("analyzed"),
                    maintained: row.get("maintained"),
                };
                (row.get("oid"), entry)
            })
            .collect();
        let names = client.query(queries::CATALOGUES, &[]).await?;
        let parts: Vec<String> = names
            .iter()
            .map(|row| fingerprint(row.get::<_, &str>(0)))
            .collect();
        let mut catalogues = BTreeMap::new();
        if !parts.is_empty() {
            let told = client.simple_query(&parts.join(" UNION ALL ")).await?;
            for message in &told {
                if let SimpleQueryMessage::Row(row) = message
                    && let (Some(name), Some(rows)) = (row.get(0), row.get(1))
                {
                    catalogues.insert(name.to_owned(), rows.to_owned());
                }
            }
        }
        Ok(Self {
            relations,
            catalogues,
        })
    }

    /// What changed from here to `after`; where others write meanwhile, rows may be theirs.
    pub fn changes(&self, after: &Self, others: bool) -> Effects {
        let mut changed = BTreeMap::new();
        let mut unclear = Vec::new();
        for (oid, now) in &after.relations {
            let before = self.relations.get(oid);
            let written = before.map_or(Written::Nothing, |before| written(before, now));
            let rows = match written {
                Written::Rows(rows) if !others => Some(rows),
                _ => None,
            };
            let altered = before.is_none_or(|before| before.definition != now.definition);
            if altered {
                changed.insert(now.name.clone(), rows);
                continue;
            }
            match written {
                Written::Nothing => {}
                _ if is_lock(&now.name) => {}
                Written::Rows(_) | Written::Some if !others => {
                    changed.insert(now.name.clone(), rows);
                }
                _ => unclear.push(now.name.clone()),
            }
        }
        for (oid, before) in &self.relations {
            if !after.relations.contains_key(oid) {
                changed.entry(before.name.clone()).or_insert(None);
            }
        }
        let catalogues = after.catalogues.iter().filter(|(name, rows)| {
            self.catalogues.get(*name).is_some_and(|then| then != *rows)
                && !(others && OF_TEMPORARY_TABLES.contains(&name.as_str()))
        });
        let catalogues = catalogues.map(|(name, _)| name.clone()).collect();
        unclear.sort();
        let changed = changed.into_iter();
        Effects {
            changed: changed
                .map(|(relation, rows)| Changed { relation, rows })
                .collect(),
            catalogues,
            unclear,
            others,
            ..Effects::default()
        }
    }
}

/// What was committed to a relation's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    /// So many rows.
    Rows(u64),
    /// Something that is not counted.
    Some,
    /// Nothing tells whether what was written was committed.
    Unclear,
}

fn written(before: &Entry, now: &Entry) -> Written {
    let attempted = now.attempted != before.attempted;
    let counted = if now.analyzed == before.analyzed {
        match u64::try_from(now.committed - before.committed) {
            Ok(0) => Written::Nothing,
            Ok(rows) => Written::Rows(rows),
            // Counters were reset.
            Err(_) => Written::Unclear,
        }
    } else if now.committed > 0 {
        // Analyzing set the counter to 0 meanwhile: what is in it came after that.
        Written::Some
    } else if attempted {
        Written::Unclear
    } else {
        Written::Nothing
    };
    match counted {
        Written::Nothing if now.maintained > before.maintained => Written::Some,
        counted => counted,
    }
}

/// How many rows a catalogue has, and by which transactions they were written.
fn fingerprint(catalogue: &str) -> String {
    let only = match catalogue {
        // A session that makes the first temporary table in its place leaves a schema behind.
        "pg_namespace" => " WHERE nspname !~ '^pg_(toast_)?temp_'",
        "pg_class" => " WHERE relpersistence <> 't'",
        _ => "",
    };
    let name = catalogue.replace('\'', "''");
    let quoted = catalogue.replace('"', "\"\"");
    format!(
        "SELECT '{name}' AS name, pg_catalog.concat_ws(' ', pg_catalog.count(*), \
         pg_catalog.sum(xmin::text::bigint)) AS rows FROM pg_catalog.\"{quoted}\"{only}"
    )
}

fn is_lock(relation: &str) -> bool {
    let name = relation.rsplit('.').next().unwrap_or(relation);
    let name = name.trim_matches('"').to_lowercase();
    LOCKS_OF_TOOLS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, committed: i64, attempted: i64, analyzed: i64) -> Entry {
        Entry {
            name: name.to_owned(),
            definition: "1".to_owned(),
            committed,
            attempted,
            analyzed,
            maintained: 0,
        }
    }

    fn look(relations: &[Entry]) -> Look {
        Look {
            relations: (1..).zip(relations.iter().cloned()).collect(),
            catalogues: [("pg_proc".to_owned(), "1 1".to_owned())].into(),
        }
    }

    fn changed(before: Entry, after: Entry, others: bool) -> Effects {
        look(&[before]).changes(&look(&[after]), others)
    }

    #[test]
    fn rows_count_when_they_are_committed() {
        let rows = |effects: &Effects| effects.changed.first().and_then(|changed| changed.rows);
        let before = entry("t", 5, 50, 1);
        let done = changed(before.clone(), entry("t", 7, 52, 1), false);
        assert_eq!(rows(&done), Some(2));
        let rolled_back = changed(before.clone(), entry("t", 5, 90, 1), false);
        assert!(!rolled_back.any() && rolled_back.unclear.is_empty());
        // Autovacuum analyzed it meanwhile, without and with something written.
        let analyzed = changed(before.clone(), entry("t", 0, 50, 2), false);
        assert!(!analyzed.any() && analyzed.unclear.is_empty());
        let unclear = changed(before.clone(), entry("t", 0, 52, 2), false);
        assert!(!unclear.any() && unclear.unclear == ["t"]);
        let later = changed(before.clone(), entry("t", 1, 52, 2), false);
        assert!(later.any() && rows(&later).is_none());
        // The counters were lost.
        let lost = changed(before, entry("t", 0, 0, 1), false);
        assert!(!lost.any() && lost.unclear == ["t"]);
    }

    #[test]
    fn where_others_write_rows_may_be_theirs_and_definitions_are_not() {
        let before = entry("t", 5, 50, 1);
        let rows = changed(before.clone(), entry("t", 7, 52, 1), true);
        assert!(!rows.any() && rows.unclear == ["t"]);
        let mut altered = before.clone();
        altered.definition = "2".to_owned();
        assert!(changed(before, altered, true).any());
    }

    #[test]
    fn what_is_new_or_gone_or_in_a_catalogue_is_a_change() {
        let (one, none) = (look(&[entry("t", 0, 0, 0)]), look(&[]));
        for effects in [none.changes(&one, false), one.changes(&none, false)] {
            assert_eq!(effects.changed.len(), 1, "{effects:?}");
        }
        let mut function = one.clone();
        function.catalogues.insert("pg_proc".into(), "2 9".into());
        assert_eq!(one.changes(&function, false).catalogues, ["pg_proc"]);
    }

    #[test]
    fn a_lock_of_a_migration_tool_is_no_migration() {
        let name = "app.\"DATABASECHANGELOGLOCK\"";
        assert!(!changed(entry(name, 0, 0, 0), entry(name, 2, 2, 0), false).any());
        let name = "databasechangelog";
        assert!(changed(entry(name, 0, 0, 0), entry(name, 2, 2, 0), false).any());
    }
}
