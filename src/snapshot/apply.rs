//! Makes what travels with a snapshot true in its database: roles before the data, since the data
//! name them; settings after, since a time limit of production is none for a restore.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::found::Found;
use super::manifest::Travels;
use crate::stage::Watch;
use crate::stage::connect::quoted;
use crate::{Error, Result};

/// Makes the roles that the snapshot describes.
pub(super) async fn roles(
    client: &Client,
    travels: &Travels,
    found: &Found,
    watch: &dyn Watch,
) -> Result<()> {
    let failed =
        |error| Error::stage("cannot make the roles that the snapshot describes").because(error);
    let mut present: BTreeSet<String> = client
        .query("SELECT rolname::text FROM pg_catalog.pg_roles", &[])
        .await
        .map_err(failed)?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let groups = travels.roles.values().flat_map(|role| &role.member_of);
    let named: BTreeSet<&String> = travels.roles.keys().chain(groups).collect();
    // A role of the server itself is one of its major, or none at all.
    for name in named.into_iter().filter(|name| !name.starts_with("pg_")) {
        if present.insert(name.clone()) {
            let attributes: Vec<&str> = travels
                .roles
                .get(name)
                .into_iter()
                .flat_map(|role| role.attributes.iter().copied())
                .collect();
            let statement = format!(
                "CREATE ROLE {} NOLOGIN {}",
                quoted(name),
                attributes.join(" ")
            );
            client.batch_execute(&statement).await.map_err(failed)?;
        }
    }
    for (name, role) in &travels.roles {
        for group in &role.member_of {
            if !present.contains(group) {
                found.note(
                    watch,
                    format!("`{name}` is a member of `{group}`, which this server does not have"),
                );
                continue;
            }
            let statement = format!("GRANT {} TO {}", quoted(group), quoted(name));
            client.batch_execute(&statement).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Gives the database its owner and its settings, and each role its own.
pub(super) async fn settings(
    client: &Client,
    database: &str,
    travels: &Travels,
    found: &Found,
    watch: &dyn Watch,
) -> Result<()> {
    let properties = found.properties();
    let owner = travels.owner.clone().or_else(|| found.owner());
    if let Some(owner) = owner {
        let statement = format!(
            "ALTER DATABASE {} OWNER TO {}",
            quoted(database),
            quoted(&owner)
        );
        client.batch_execute(&statement).await.map_err(|error| {
            Error::stage(format!("`{owner}` cannot own the database"))
                .because(error)
                .help("`owner` names a role of the dump, of `globals` or of `[roles]`")
        })?;
    }
    let mut of_database = properties.settings;
    let mut names: Vec<String> = of_database.keys().map(|name| format!("`{name}`")).collect();
    of_database.extend(travels.database_settings.clone());
    let target = format!("DATABASE {}", quoted(database));
    set(client, &target, &of_database).await?;
    for (role, settings) in &properties.of_roles {
        let target = format!("ROLE {} IN DATABASE {}", quoted(role), quoted(database));
        set(client, &target, settings).await?;
        names.extend(settings.keys().map(|name| format!("`{name}` of `{role}`")));
    }
    if !names.is_empty() {
        found.note(
            watch,
            format!(
                "settings of the dumped database are set here too: {}",
                names.join(", ")
            ),
        );
    }
    if !properties.left_out.is_empty() {
        let names: Vec<String> = properties.left_out.into_iter().collect();
        found.note(
            watch,
            format!(
                "settings of the dumped database that a stage has no use for are left out: {}",
                names.join(", ")
            ),
        );
    }
    for (name, role) in &travels.roles {
        set(client, &format!("ROLE {}", quoted(name)), &role.settings).await?;
        for (place, settings) in &role.in_database {
            if place == database {
                let target = format!("ROLE {} IN DATABASE {}", quoted(name), quoted(database));
                set(client, &target, settings).await?;
            } else {
                found.note(
                    watch,
                    format!(
                        "settings of `{name}` in the database `{place}` have no effect: this one is `{database}`"
                    ),
                );
            }
        }
    }
    if let Some(role) = &travels.role {
        there(client, role).await?;
    }
    Ok(())
}

/// Refuses a migration's role that nobody made.
async fn there(client: &Client, role: &str) -> Result<()> {
    let found = client
        .query_opt(
            "SELECT FROM pg_catalog.pg_roles WHERE rolname = $1",
            &[&role],
        )
        .await
        .map_err(|error| Error::stage("the server does not tell its roles").because(error))?;
    match found {
        Some(_) => Ok(()),
        None => Err(Error::stage(format!(
            "the migration is to run as `{role}`, and there is no such role"
        ))
        .help("`role` of snapshot.toml names a role of the dump, of `globals` or of `[roles]`")),
    }
}

/// `set_config` reads a value as a line of postgresql.conf is read, which ALTER … SET does not for a
/// list of names; FROM CURRENT takes it over from there. Nothing of it stays in this session.
async fn set(client: &Client, target: &str, settings: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in settings {
        let work = async {
            client.batch_execute("BEGIN").await?;
            client
                .execute("SELECT pg_catalog.set_config($1, $2, true)", &[name, value])
                .await?;
            let name = name.split('.').map(quoted).collect::<Vec<_>>().join(".");
            client
                .batch_execute(&format!("ALTER {target} SET {name} FROM CURRENT; COMMIT"))
                .await
        };
        if let Err(error) = work.await {
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(
                Error::stage(format!("`{name}` cannot be set by ALTER {target} SET"))
                    .because(error)
                    .help("a setting of another major, or a wrong value: change it in snapshot.toml or in the file that it names"),
            );
        }
    }
    Ok(())
}
