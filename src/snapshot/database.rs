//! How a database compares and stores: what a reader of a report asks when an index is in another order.

use tokio_postgres::{Client, Row};

use crate::recording::format::{CollationFacts, DatabaseFacts, ExtensionFacts};
use crate::{Error, Result};

/// What decides how the database compares and stores; `time_zone` is that of the migration's sessions.
///
/// # Errors
/// The server does not answer.
pub async fn database(client: &Client, major: u32, time_zone: String) -> Result<DatabaseFacts> {
    let failed = |error| Error::stage("the database does not tell what it is").because(error);
    let query = if major >= 15 {
        include_str!("queries/database.sql")
    } else {
        include_str!("queries/database_12.sql")
    };
    let row = client.query_one(query, &[]).await.map_err(failed)?;
    let mut collations = vec![collation("default".to_owned(), &row)];
    let outdated = client
        .query(include_str!("queries/collations.sql"), &[])
        .await
        .map_err(failed)?;
    collations.extend(outdated.iter().map(|row| collation(row.get("name"), row)));
    // Not by the database's own rules, as for tables.
    collations[1..].sort_by(|a, b| a.name.cmp(&b.name));
    let extensions = client
        .query(
            "SELECT extname::text, extversion FROM pg_catalog.pg_extension ORDER BY extname COLLATE \"C\"",
            &[],
        )
        .await
        .map_err(failed)?
        .iter()
        .map(|row| ExtensionFacts {
            name: row.get(0),
            version: row.get(1),
        })
        .collect();
    Ok(DatabaseFacts {
        encoding: row.get("encoding"),
        data_checksums: row.get("data_checksums"),
        time_zone,
        collations,
        extensions,
    })
}

fn collation(name: String, row: &Row) -> CollationFacts {
    CollationFacts {
        name,
        provider: match row.get("provider") {
            Some("i") => "icu",
            Some("b") => "builtin",
            _ => "libc",
        }
        .to_owned(),
        locale: row.get("locale"),
        recorded_version: row.get("recorded"),
        actual_version: row.get("actual"),
    }
}
