//! What a restore finds out on its way, and the base remembers: a later run that restores nothing
//! has to say the same.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::globals::Properties;
use crate::stage::Watch;
use crate::stage::connect::quoted;
use crate::{Error, Result};

/// Before the words in the database's comment that are ours.
const MARK: &str = "lockproof: ";

/// What a restore found out.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Inner>);

#[derive(Debug, Default, Clone)]
struct Inner {
    notes: Vec<String>,
    counts: BTreeMap<String, u64>,
    properties: Properties,
    owner: Option<String>,
}

/// What the base remembers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    notes: Vec<String>,
    /// Rows of tables without statistics, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    counts: BTreeMap<String, u64>,
}

impl Found {
    /// Tells something now, and in every report of the base.
    pub fn note(&self, watch: &dyn Watch, note: String) {
        watch.note(&note);
        self.with(|inner| inner.notes.push(note));
    }

    /// The rows of these tables, which have no statistics.
    pub fn counted(&self, counts: BTreeMap<String, u64>) {
        self.with(|inner| inner.counts = counts);
    }

    /// What the dump says of its database.
    pub fn database(&self, properties: Properties, owner: Option<String>) {
        self.with(|inner| {
            inner.properties = properties;
            inner.owner = owner;
        });
    }

    /// The settings that the dump has for its database.
    pub fn properties(&self) -> Properties {
        self.with(|inner| inner.properties.clone())
    }

    /// The owner that the dump has for its database.
    pub fn owner(&self) -> Option<String> {
        self.with(|inner| inner.owner.clone())
    }

    fn with<R>(&self, work: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut inner)
    }

    /// Writes the notes where every copy of the base has them: a comment on the database, which no
    /// dump restores and no statement reads.
    pub async fn remember(&self, client: &Client, database: &str) -> Result<()> {
        let (notes, counts) = self.with(|inner| (inner.notes.clone(), inner.counts.clone()));
        if notes.is_empty() && counts.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string(&Remembered { notes, counts })
            .map_err(|error| Error::defect("notes cannot be written as JSON").because(error))?;
        let text = text.replace('\'', "''");
        client
            .batch_execute(&format!(
                "SET standard_conforming_strings = on; COMMENT ON DATABASE {} IS '{MARK}{text}'",
                quoted(database)
            ))
            .await
            .map_err(|error| {
                Error::stage("what was found out in the restore cannot be kept").because(error)
            })
    }
}

/// The notes of the restore that made this base; none where nothing was noted.
///
/// # Errors
/// The server does not answer.
pub async fn remembered(client: &Client) -> Result<Vec<String>> {
    Ok(read(client).await?.notes)
}

/// The rows that were counted in that restore, by table.
///
/// # Errors
/// The server does not answer.
pub(super) async fn counted(client: &Client) -> Result<BTreeMap<String, u64>> {
    Ok(read(client).await?.counts)
}

async fn read(client: &Client) -> Result<Remembered> {
    let comment: Option<String> = client
        .query_one(
            "SELECT pg_catalog.shobj_description(oid, 'pg_database')
             FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(|error| Error::stage("the database does not tell its comment").because(error))?
        .get(0);
    Ok(comment
        .as_deref()
        .and_then(|comment| comment.strip_prefix(MARK))
        .and_then(|text| serde_json::from_str::<Remembered>(text).ok())
        .unwrap_or_default())
}
