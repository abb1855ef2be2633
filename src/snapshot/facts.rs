//! What the restored tables are, and reading them once so that they are in memory.
//!
//! How many rows a table has is known from its statistics. One that has none is counted when it is restored, if that is
//! cheap; else it is not known, and never nought.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::found::counted;
use crate::recording::format::TableFacts;
use crate::stage::{Unit, Watch};
use crate::{Error, Result};

/// The largest table that is counted, in bytes: some 50 ms.
const SMALL: i64 = 64 << 20;
/// All that are counted, in bytes.
const TOGETHER: i64 = 1 << 30;
/// As many are counted: what is found is kept in the base.
const MOST: i64 = 10_000;

/// The rows of those small tables that were never analyzed, by name; without those that cannot be read.
///
/// # Errors
/// The server does not answer.
pub(super) async fn count(client: &Client) -> Result<BTreeMap<String, u64>> {
    let failed = |error| Error::stage("cannot count the restored tables").because(error);
    let uncounted = client
        .query(
            include_str!("queries/uncounted.sql"),
            &[&SMALL, &TOGETHER, &MOST],
        )
        .await
        .map_err(failed)?;
    let mut counts = BTreeMap::new();
    if uncounted.is_empty() {
        return Ok(counts);
    }
    client
        .batch_execute("SET statement_timeout = '30s'")
        .await
        .map_err(failed)?;
    for row in &uncounted {
        let (name, qualified): (String, &str) = (row.get(0), row.get(1));
        let sql = format!("SELECT count(*) FROM ONLY {qualified}");
        // A damaged page is the migration's to find.
        if let Ok(row) = client.query_one(&sql, &[]).await {
            counts.insert(name, row.get::<_, i64>(0).unsigned_abs());
        } else if client.is_closed() {
            return Err(Error::stage("cannot count the restored tables"));
        }
    }
    client
        .batch_execute("RESET statement_timeout")
        .await
        .map_err(failed)?;
    Ok(counts)
}

/// The user's tables, by name.
///
/// # Errors
/// The server does not answer, or one of them is held in ACCESS EXCLUSIVE: its size cannot be read then.
pub async fn tables(client: &Client) -> Result<Vec<TableFacts>> {
    let rows = client
        .query(include_str!("queries/tables.sql"), &[])
        .await
        .map_err(cannot_list)?;
    let mut tables: Vec<TableFacts> = rows
        .iter()
        .map(|row| TableFacts {
            name: row.get(0),
            rows: row.get::<_, Option<f64>>(1).map(|rows| rows as u64),
            bytes: row.get::<_, i64>(2).unsigned_abs(),
            dead_rows: Some(row.get::<_, i64>(3).unsigned_abs()),
            bloat_percent: row
                .get::<_, Option<i32>>(4)
                .and_then(|percent| u8::try_from(percent).ok()),
            analyzed_at: row.get(5),
        })
        .collect();
    if tables.iter().any(|table| table.rows.is_none()) {
        let mut counts = counted(client).await?;
        for table in tables.iter_mut().filter(|table| table.rows.is_none()) {
            table.rows = counts.remove(&table.name);
        }
    }
    // Not by the database's own rules: reports of two servers must have the same order.
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

fn cannot_list(error: tokio_postgres::Error) -> Error {
    let held = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
    let error = Error::stage("cannot list the tables and their sizes").because(error);
    if held {
        error.help(
            "a session holds one of them in ACCESS EXCLUSIVE: end it, or run again when it is done",
        )
    } else {
        error
    }
}

/// Reads everything once, with `pg_prewarm` where the server has it, else the tables alone.
///
/// Call it on the started stage: a copy's shared memory is empty, whatever its base did. Nothing of
/// it stays: the extension is made in a transaction that is rolled back.
pub async fn warm(client: &Client, watch: &dyn Watch) -> Result<()> {
    watch.measured("reading everything into memory", Unit::Bytes);
    let failed = |error| Error::stage("cannot read the restored tables").because(error);
    let relations = client
        .query(include_str!("queries/warmable.sql"), &[])
        .await
        .map_err(failed)?;
    // A large table takes its time, whatever limit the session has.
    let begin = "BEGIN; SET LOCAL statement_timeout = 0";
    client.batch_execute(begin).await.map_err(failed)?;
    silence(client).await.map_err(failed)?;
    let has_prewarm = client
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm SCHEMA pg_catalog")
        .await
        .is_ok();
    if !has_prewarm {
        watch.note("`pg_prewarm` is not available: the tables are read, their indexes are not");
        client
            .batch_execute(&format!("ROLLBACK; {begin}"))
            .await
            .map_err(failed)?;
    }
    // It may have been there already, in whatever schema.
    let schema = client
        .query_opt(
            "SELECT quote_ident(n.nspname) FROM pg_catalog.pg_extension AS e
             JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_prewarm'",
            &[],
        )
        .await
        .map_err(failed)?
        .map(|row| row.get::<_, String>(0));
    let total = relations
        .iter()
        .map(|row| row.get::<_, i64>("bytes").unsigned_abs())
        .sum();
    let mut done = 0;
    watch.advance(done, Some(total));
    for row in &relations {
        let (oid, kind, name): (u32, &str, &str) = (row.get(0), row.get(1), row.get(2));
        watch.detail(name);
        if let Some(schema) = &schema {
            client
                .batch_execute(&format!("SELECT {schema}.pg_prewarm({oid}::regclass)"))
                .await
                .map_err(failed)?;
        } else if matches!(kind, "r" | "m") {
            client
                .batch_execute(&format!("SELECT count(*) FROM {name}"))
                .await
                .map_err(failed)?;
        }
        done += row.get::<_, i64>("bytes").unsigned_abs();
        watch.advance(done, Some(total));
    }
    client.batch_execute("ROLLBACK").await.map_err(failed)
}

/// Keeps event triggers from firing for what the open transaction makes, until it is rolled back; altering
/// them fires none. Where the session has them off, there is nothing to do.
async fn silence(client: &Client) -> Result<(), tokio_postgres::Error> {
    let triggers = client
        .query(
            "SELECT pg_catalog.quote_ident(evtname) FROM pg_catalog.pg_event_trigger
             WHERE evtenabled <> 'D'
               AND pg_catalog.current_setting('event_triggers', true) IS DISTINCT FROM 'off'",
            &[],
        )
        .await?;
    for row in &triggers {
        let name: &str = row.get(0);
        let disable = format!("ALTER EVENT TRIGGER {name} DISABLE");
        client.batch_execute(&disable).await?;
    }
    Ok(())
}
