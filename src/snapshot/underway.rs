//! What the server itself says of long work, asked in a session beside it.
//!
//! For progress only: a question that fails is an empty answer.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Client;

use crate::stage::connect::connect;
use crate::stage::{Endpoint, Watch};

/// From one question to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// A session beside the work.
pub(super) struct Underway {
    client: Option<Client>,
    tells_copies: bool,
}

impl Underway {
    /// Opens it. A server that lets nobody else in is no reason to fail.
    pub async fn beside(endpoint: &Endpoint) -> Self {
        let client = connect(endpoint, "lockproof progress").await.ok();
        let version = async {
            let number = "SELECT pg_catalog.current_setting('server_version_num')::int4";
            let row = client.as_ref()?.query_one(number, &[]).await.ok()?;
            Some(row.get::<_, i32>(0))
        }
        .await;
        Self {
            tells_copies: version.is_some_and(|version| version >= 140_000),
            client,
        }
    }

    async fn ask(
        &self,
        sql: &str,
        values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Vec<tokio_postgres::Row> {
        match &self.client {
            Some(client) => client.query(sql, values).await.unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// The tables that a COPY goes into, and the bytes that it has read.
    pub async fn copies(&self) -> Vec<(String, u64)> {
        if !self.tells_copies {
            return Vec::new();
        }
        let rows = self.ask(include_str!("queries/copies.sql"), &[]).await;
        rows.iter()
            .map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs()))
            .collect()
    }

    /// How many indexes and foreign keys the database has.
    pub async fn built(&self) -> u64 {
        let rows = self.ask(include_str!("queries/built.sql"), &[]).await;
        rows.first()
            .map_or(0, |row| row.get::<_, i64>(0).unsigned_abs())
    }

    /// Indexes that are built, tables that are vacuumed, in words; empty: none.
    pub async fn at_work(&self) -> String {
        let rows = self.ask(include_str!("queries/under_way.sql"), &[]).await;
        let words = |row: &tokio_postgres::Row| {
            let (kind, table, phase): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
            format!("{kind} `{table}`: {phase}")
        };
        rows.first().map(words).unwrap_or_default()
    }

    /// Tells how many bytes a VACUUM of the whole database has gone through, until it is dropped.
    pub async fn tell_vacuum(endpoint: &Endpoint, watch: &dyn Watch) -> std::convert::Infallible {
        let server = Self::beside(endpoint).await;
        let rows = server.ask(include_str!("queries/to_vacuum.sql"), &[]).await;
        let size = |row: &tokio_postgres::Row| (row.get(0), row.get::<_, i64>(1).unsigned_abs());
        let sizes: BTreeMap<u32, u64> = rows.iter().map(size).collect();
        let since: String = rows.first().map(|row| row.get(2)).unwrap_or_default();
        let total: u64 = sizes.values().sum();
        loop {
            let asked = tokio::time::Instant::now();
            let rows = server
                .ask(include_str!("queries/vacuumed.sql"), &[&since])
                .await;
            let mut done: BTreeMap<u32, u64> = BTreeMap::new();
            for row in &rows {
                let (table, part): (u32, Option<i64>) = (row.get(0), row.get(1));
                let size = sizes.get(&table).copied().unwrap_or_default();
                let part = part.map_or(size, |part| part.unsigned_abs().min(size));
                let most = done.entry(table).or_default();
                *most = part.max(*most);
            }
            if total > 0 {
                watch.advance(done.values().sum(), Some(total));
            }
            watch.detail(&server.at_work().await);
            // With very many tables the question itself is work.
            tokio::time::sleep(PAUSE.max(asked.elapsed() * 20)).await;
        }
    }

    /// Tells what is at work, until it is dropped.
    pub async fn tell(endpoint: &Endpoint, watch: &dyn Watch) -> std::convert::Infallible {
        tokio::time::sleep(PAUSE).await;
        let server = Self::beside(endpoint).await;
        loop {
            let at_work = server.at_work().await;
            if !at_work.is_empty() {
                watch.detail(&at_work);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
