//! What in a database can reach out of its server, from the catalogue: told, whether or not the stage
//! has a way out.
//!
//! A function that puts its words together at run time is not found: the closed network is what holds,
//! this is what is known.

use tokio_postgres::Client;

use super::publisher::place;
use crate::recording::format::Reach;
use crate::{Error, Result};

/// Options of foreign servers and tables that say where something is. Any other may be a secret.
const PLACES: &[&str] = &[
    "address",
    "database",
    "dbname",
    "dbserver",
    "endpoint",
    "filename",
    "host",
    "hostaddr",
    "hostname",
    "port",
    "program",
    "server",
    "servername",
    "service",
    "uri",
    "url",
];

/// What can reach out, by kind and name.
///
/// # Errors
/// The server does not answer.
pub async fn reaches(client: &Client) -> Result<Vec<Reach>> {
    let failed =
        |error| Error::stage("the database does not tell what in it can reach out").because(error);
    // Nothing of the database's own stands in for what the queries call.
    client
        .batch_execute("BEGIN READ ONLY; SET LOCAL search_path = pg_catalog")
        .await
        .map_err(failed)?;
    let rows = client
        .query(include_str!("queries/reaches.sql"), &[])
        .await
        .map_err(failed)?;
    let mut reaches: Vec<Reach> = rows
        .iter()
        .map(|row| {
            let detail: Option<String> = row.get("detail");
            let options: Option<Vec<String>> = row.get("options");
            let parts: Vec<String> = detail
                .into_iter()
                .chain(options.iter().flatten().filter_map(|option| told(option)))
                .collect();
            Reach {
                kind: row.get::<_, String>("kind"),
                name: row.get("name"),
                detail: (!parts.is_empty()).then(|| parts.join(", ")),
            }
        })
        .filter(|reach| !reach.name.is_empty())
        .collect();
    reaches.extend(subscriptions(client).await.map_err(failed)?);
    client.batch_execute("COMMIT").await.map_err(failed)?;
    // Not by the database's own rules: reports of two servers must have the same order.
    reaches.sort();
    reaches.dedup();
    Ok(reaches)
}

/// A line where triggers on `login` fire for lockproof's own sessions as well: a role that is no superuser
/// cannot keep them from it.
///
/// # Errors
/// The server does not answer.
pub async fn woken(client: &Client, reaches: &[Reach]) -> Result<Option<String>> {
    let names: Vec<String> = reaches
        .iter()
        .filter(|reach| reach.kind == "login_trigger")
        .map(|reach| format!("`{}`", reach.name))
        .collect();
    if names.is_empty() {
        return Ok(None);
    }
    let off: bool = client
        .query_one(
            "SELECT pg_catalog.current_setting('event_triggers', true) = 'off'",
            &[],
        )
        .await
        .map_err(|error| {
            Error::stage("the server does not tell whether event triggers fire").because(error)
        })?
        .get(0);
    Ok((!off).then(|| {
        format!(
            "event triggers on login fire for lockproof's own sessions too, since their role may not turn \
             them off: {}",
            names.join(", ")
        )
    }))
}

/// Subscriptions of all databases, with the place of their publisher where this role may know it.
async fn subscriptions(client: &Client) -> Result<Vec<Reach>, tokio_postgres::Error> {
    let query = include_str!("queries/subscriptions.sql");
    let may_know = client
        .query_one(
            "SELECT has_column_privilege('pg_catalog.pg_subscription', 'subconninfo', 'SELECT')",
            &[],
        )
        .await?;
    let rows = if may_know.get(0) {
        client.query(query, &[]).await?
    } else {
        let without = query.replace("s.subconninfo AS", "NULL::text AS");
        client.query(&without, &[]).await?
    };
    Ok(rows
        .iter()
        .map(|row| {
            let conninfo: Option<&str> = row.get("conninfo");
            let other: Option<&str> = row.get("other_database");
            let parts = [
                conninfo.map(|conninfo| format!("publisher {}", place(conninfo))),
                other.map(|other| format!("of database {other}")),
                Some(
                    if row.get("enabled") {
                        "enabled"
                    } else {
                        "disabled"
                    }
                    .to_owned(),
                ),
                (!row.get::<_, bool>("has_slot")).then(|| "without a slot".to_owned()),
            ];
            Reach {
                kind: "subscription".to_owned(),
                name: row.get("name"),
                detail: Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", ")),
            }
        })
        .collect())
}

/// `name=value` where it says a place, without what may be a secret in it.
fn told(option: &str) -> Option<String> {
    let (name, value) = option.split_once('=')?;
    let name = name.to_ascii_lowercase();
    if !PLACES.contains(&name.as_str()) {
        return None;
    }
    let value = match name.as_str() {
        // Its arguments may hold a token.
        "program" => value
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
        "filename" => value.to_owned(),
        // A database's name may be a connection string of its own.
        "dbname" | "database" if value.contains('=') || value.contains("://") => place(value),
        _ => without_credentials(value),
    };
    Some(format!("{name} {value}"))
}

/// An address or a URL without its user, password and query.
fn without_credentials(address: &str) -> String {
    let address = address.split(['?', '#', ';']).next().unwrap_or_default();
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_options_only_places_are_told() {
        for (option, expected) in [
            ("host=db1.example", Some("host db1.example")),
            ("port=5433", Some("port 5433")),
            ("HOST=db1", Some("host db1")),
            ("password=hunter2", None),
            ("user=u", None),
            ("aws_secret_key=hunter2", None),
            (
                "program=/usr/bin/curl -u me:hunter2 https://x",
                Some("program /usr/bin/curl"),
            ),
            ("filename=/srv/in.csv", Some("filename /srv/in.csv")),
            (
                "url=https://u:hunter2@api.example/v1?key=hunter2",
                Some("url https://api.example/v1"),
            ),
            (
                "dbserver=//u:hunter2@ora:1521/x",
                Some("dbserver ora:1521/x"),
            ),
            ("dbname=host=h password=hunter2", Some("dbname h")),
            ("dbname=shop", Some("dbname shop")),
            ("nothing", None),
        ] {
            assert_eq!(told(option).as_deref(), expected, "{option}");
        }
    }
}
