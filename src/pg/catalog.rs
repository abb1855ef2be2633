//! Relations by oid, read around a step: names, and what the step did to them.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::queries;
use crate::recording::format::{Origin, Relation, Trace};

/// All relations of a database at one moment.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    relations: BTreeMap<u32, Entry>,
    /// True when relations may have come since that are not in it.
    outdated: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    kind: char,
    parent: Option<String>,
    file: u32,
    scans: i64,
    rows_scanned: i64,
    blocks: i64,
}

impl Catalog {
    /// Reads it.
    ///
    /// # Errors
    /// The server's words; also when the migration left the catalogue locked.
    pub async fn read(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let rows = client.query(queries::RELATIONS, &[]).await?;
        let relations = rows
            .iter()
            .map(|row| {
                let kind: String = row.get("kind");
                let entry = Entry {
                    name: row.get("name"),
                    kind: kind.chars().next().unwrap_or('?'),
                    parent: row.get("parent"),
                    file: row.get("file"),
                    scans: row.get("scans"),
                    rows_scanned: row.get("rows_scanned"),
                    blocks: row.get("blocks"),
                };
                (row.get("oid"), entry)
            })
            .collect();
        Ok(Self {
            relations,
            outdated: false,
        })
    }

    /// The same, where a later one could not be read: what is not in it may be there all the same.
    #[must_use]
    pub fn outdated(&self) -> Self {
        Self {
            relations: self.relations.clone(),
            outdated: true,
        }
    }

    /// Names for `oids`: those of before the step where the relation was there already.
    pub fn resolve(&self, after: &Self, oids: &BTreeSet<u32>) -> Vec<Relation> {
        oids.iter()
            .map(|oid| {
                let before = self.relations.get(oid);
                let entry = before.or_else(|| after.relations.get(oid));
                Relation {
                    oid: *oid,
                    // Made and gone within the step: it never had a name that others could see.
                    name: entry.map_or_else(|| format!("oid {oid}"), |entry| entry.name.clone()),
                    kind: entry.map_or('?', |entry| entry.kind),
                    parent: entry.and_then(|entry| entry.parent.clone()),
                    origin: if before.is_some() || self.outdated {
                        Origin::Existing
                    } else {
                        Origin::New
                    },
                }
            })
            .collect()
    }

    /// What happened to user relations between here and `after`, sorted by name.
    pub fn traces(&self, after: &Self) -> Vec<Trace> {
        let more = |now: i64, then: i64| u64::try_from(now - then).unwrap_or(0);
        let mut traces: Vec<Trace> = self
            .relations
            .iter()
            .filter_map(|(oid, before)| {
                let now = after.relations.get(oid)?;
                let trace = Trace {
                    relation: before.name.clone(),
                    rewritten: now.file != before.file,
                    scans: more(now.scans, before.scans),
                    rows_scanned: more(now.rows_scanned, before.rows_scanned),
                    blocks: more(now.blocks, before.blocks),
                };
                let system = before.name.starts_with("pg_catalog.")
                    || before.name.starts_with("pg_toast.")
                    || before.name.starts_with("information_schema.");
                let happened = trace.rewritten || trace.scans > 0;
                (happened && !system).then_some(trace)
            })
            .collect();
        traces.sort_by(|a, b| a.relation.cmp(&b.relation));
        traces
    }
}
