//! Whether an external server may be production.
//!
//! A migration that is replayed on production is the one accident that this tool can cause. So an
//! external server has to look like a stage, or its user has to say its name.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Client;

use super::names::{Match, Names, Server};
use crate::stage::census;
use crate::stage::connect::{Told, quoted, tell};
use crate::stage::{Endpoint, Host};
use crate::{Error, Result};

/// Names that production goes by, as words in the names of databases, hosts and clusters.
const DENIED: [&str; 6] = ["prod", "production", "live", "primary", "master", "prd"];

/// Something about a server that speaks against replaying a migration on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspicion {
    /// Its owner has not marked it as a stage.
    Unmarked,
    /// Somebody else is connected.
    Sessions {
        /// How many sessions, in all its databases.
        count: u64,
        /// How many of them run something now.
        active: u64,
        /// Their `application_name`s, sorted, each once.
        applications: Vec<String>,
    },
    /// Other servers copy its changes.
    Replicas(Vec<String>),
    /// Other servers are expected to: physical replication slots in use.
    Slots(Vec<String>),
    /// A name that production goes by.
    Name {
        /// What has the name: `database`, `host` or `cluster`.
        what: &'static str,
        /// The name.
        name: String,
        /// The word in it.
        word: String,
    },
    /// It replays another server's changes; no migration can run on it.
    Standby,
    /// A name that whoever runs this has on a list of production servers.
    Listed(Match),
    /// It is the server that the snapshot was taken from.
    Source {
        /// The address that both have.
        address: String,
    },
    /// It has the system identifier of that server, under another address: a physical copy of it, or itself.
    SourceElsewhere {
        /// The identifier.
        identifier: u64,
    },
}

/// What a snapshot says of the server that it was taken from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Its `system_identifier`; None: it did not tell.
    pub identifier: Option<u64>,
    /// Its addresses, as entries of a list of servers.
    pub addresses: Vec<String>,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmarked => f.write_str("it is not marked as a stage"),
            Self::Sessions {
                count,
                active,
                applications,
            } => {
                let names = if applications.is_empty() {
                    String::new()
                } else {
                    format!(" (`{}`)", applications.join("`, `"))
                };
                write!(
                    f,
                    "sessions of others: {count}{names}, {active} of them active"
                )
            }
            Self::Replicas(names) => write!(f, "attached replicas: `{}`", names.join("`, `")),
            Self::Slots(names) => {
                write!(f, "active replication slots: `{}`", names.join("`, `"))
            }
            Self::Name { what, name, word } => {
                write!(f, "the name of its {what}, `{name}`, has `{word}` in it")
            }
            Self::Standby => f.write_str("it is a standby, and replays another server's changes"),
            Self::Listed(Match { what, name, entry }) => {
                write!(
                    f,
                    "the name of its {what}, `{name}`, is on the list as `{entry}`"
                )
            }
            Self::Source { address } => write!(
                f,
                "it is the server that the snapshot was taken from, at `{address}`"
            ),
            Self::SourceElsewhere { identifier } => write!(
                f,
                "it has the system identifier of the server that the snapshot was taken from, {identifier}"
            ),
        }
    }
}

/// What the list says of a server's address, before anything is sent there.
pub async fn listed(endpoint: &Endpoint, production: &Names) -> Vec<Suspicion> {
    let server = Server::typed(endpoint).await;
    let found = production.matches(&server).into_iter();
    found.map(Suspicion::Listed).collect()
}

fn host(endpoint: &Endpoint) -> String {
    match &endpoint.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    }
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// A server that is taken as it is found.
    Server,
    /// A clone, on a server that may have those of other runs.
    Clone,
}

/// Looks at a server through a session of ours; changes nothing.
///
/// # Errors
/// The server does not answer.
pub async fn examine(
    client: &Client,
    endpoint: &Endpoint,
    production: &Names,
    taken: Option<&Taken>,
    kind: Looked,
) -> Result<Vec<Suspicion>> {
    let row = look(client, endpoint, kind).await?;
    let marked: Option<&str> = row.get("marker");
    let cluster: String = row.get("cluster");
    let identifier = identifier(client).await;
    let address: Option<std::net::IpAddr> = row.get("address");
    let port = row
        .get::<_, Option<i32>>("port")
        .and_then(|port| u16::try_from(port).ok());
    let mut server = Server::typed(endpoint).await;
    server.says(&cluster, address, port, identifier);
    let found = production.matches(&server).into_iter();
    let mut suspicions: Vec<Suspicion> = found.map(Suspicion::Listed).collect();
    if let Some(taken) = taken {
        suspicions.extend(source(taken, &server, identifier).await?);
    }
    if row.get("standby") {
        suspicions.push(Suspicion::Standby);
    }
    if !marked.is_some_and(|value| {
        matches!(
            value.to_ascii_lowercase().as_str(),
            "on" | "true" | "yes" | "1"
        )
    }) {
        suspicions.push(Suspicion::Unmarked);
    }
    let count: i64 = row.get("sessions");
    if count > 0 {
        suspicions.push(Suspicion::Sessions {
            count: count.unsigned_abs(),
            active: row.get::<_, i64>("active").unsigned_abs(),
            applications: row.get("applications"),
        });
    }
    let replicas: Vec<String> = row.get("replicas");
    if !replicas.is_empty() {
        suspicions.push(Suspicion::Replicas(replicas));
    }
    let slots: Vec<String> = row.get("slots");
    if !slots.is_empty() {
        suspicions.push(Suspicion::Slots(slots));
    }
    let names: [(&str, String); 3] = [
        ("database", row.get("database")),
        ("host", host(endpoint)),
        ("cluster", cluster),
    ];
    for (what, name) in names {
        if let Some(word) = denied_word(&name) {
            suspicions.push(Suspicion::Name { what, name, word });
        }
    }
    Ok(suspicions)
}

/// Asks the server. Sessions of a lockproof that has just ended may be there for a moment longer.
async fn look(client: &Client, endpoint: &Endpoint, kind: Looked) -> Result<tokio_postgres::Row> {
    const LOOKS: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(50);
    let unseen = |error: tokio_postgres::Error| {
        Error::stage(format!("cannot look at `{}`", endpoint.shown())).because(Told(tell(&error)))
    };
    let mut looks = 0;
    // A path that a URL, a role or the database sets could put functions of others before the system's.
    client
        .batch_execute("SET search_path = pg_catalog")
        .await
        .map_err(unseen)?;
    loop {
        let ours: Vec<i32> = census::processes(endpoint).into_iter().collect();
        let row = client
            .query_one(
                include_str!("../queries/examine.sql"),
                &[&(kind == Looked::Clone), &ours],
            )
            .await
            .map_err(unseen)?;
        looks += 1;
        let applications: Vec<String> = row.get("applications");
        let may_go = !applications.is_empty()
            && applications
                .iter()
                .all(|name| name.starts_with("lockproof"));
        if row.get::<_, i64>("sessions") == 0 || !may_go || looks == LOOKS {
            return Ok(row);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The server's `system_identifier`; None: the role may not ask.
async fn identifier(client: &Client) -> Option<u64> {
    let asked = "SELECT system_identifier FROM pg_catalog.pg_control_system()";
    let row = client.query_one(asked, &[]).await.ok()?;
    row.try_get::<_, i64>(0).ok().map(i64::cast_unsigned)
}

/// What a snapshot that is taken there says of the server, within the transaction that reads it.
pub async fn taken(client: &Client, endpoint: &Endpoint) -> Taken {
    // A role that may not ask must not break the transaction.
    let _ = client.batch_execute("SAVEPOINT lockproof_taken").await;
    let identifier = identifier(client).await;
    let _ = client
        .batch_execute("ROLLBACK TO SAVEPOINT lockproof_taken; RELEASE SAVEPOINT lockproof_taken")
        .await;
    Taken {
        identifier,
        addresses: Server::typed(endpoint).await.entries(),
    }
}

/// Whether it is the server that the snapshot was taken from. Two servers with one address are one, unless both say
/// otherwise; two with one identifier may be a server and its physical copy.
async fn source(
    taken: &Taken,
    server: &Server,
    identifier: Option<u64>,
) -> Result<Option<Suspicion>> {
    let same = match (taken.identifier, identifier) {
        (Some(theirs), Some(ours)) => Some(theirs == ours),
        _ => None,
    };
    if same == Some(false) {
        return Ok(None);
    }
    let (names, _) = Names::read(&taken.addresses)?.resolved().await;
    if let Some(found) = names.matches(server).into_iter().next() {
        return Ok(Some(Suspicion::Source {
            address: found.entry,
        }));
    }
    let identifier = identifier.filter(|_| same == Some(true));
    Ok(identifier.map(|identifier| Suspicion::SourceElsewhere { identifier }))
}

/// The first word of a name that production goes by; `prod2` counts, `product` does not.
fn denied_word(name: &str) -> Option<String> {
    name.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
        .find(|word| DENIED.contains(word))
        .map(str::to_owned)
}

/// Refuses a server that is on the list; what else is seen of it stands below.
pub(in crate::stage) fn refuse_listed(suspicions: &[Suspicion], database: &str) -> Result<()> {
    let is_listed = |suspicion: &Suspicion| matches!(suspicion, Suspicion::Listed(_));
    let is_source = |suspicion: &Suspicion| matches!(suspicion, Suspicion::Source { .. });
    let why = if suspicions.iter().any(is_listed) {
        "is production, by the list of `--production`"
    } else if suspicions.iter().any(is_source) {
        "is the one that the snapshot was taken from"
    } else {
        return Ok(());
    };
    Err(Error::stage(format!("the server of `{database}` {why}"))
        .details(suspicions.iter().map(Suspicion::to_string)))
}

/// Passes a server with nothing suspicious, or whose user confirmed it by its database's name.
pub fn refuse(suspicions: &[Suspicion], database: &str, confirmation: Option<&str>) -> Result<()> {
    let seen = || suspicions.iter().map(Suspicion::to_string);
    refuse_listed(suspicions, database)
        .map_err(|error| error.help("name another server; no confirmation opens this one"))?;
    if suspicions.contains(&Suspicion::Standby) {
        return Err(Error::stage(format!(
            "the server of `{database}` is a standby: no migration can run on it"
        ))
        .details(seen())
        .help("name a server that takes writes, such as one restored from a backup"));
    }
    if suspicions.is_empty() || confirmation == Some(database) {
        return Ok(());
    }
    let marker = if suspicions.contains(&Suspicion::Unmarked) {
        format!(
            "mark it with `ALTER DATABASE {} SET lockproof.staging = 'on'`, or ",
            quoted(database)
        )
    } else {
        String::new()
    };
    let message = match confirmation {
        None => format!("the server of `{database}` may be production"),
        Some(other) => format!(
            "the server of `{database}` may be production, and the confirmation is for `{other}`"
        ),
    };
    Err(Error::stage(message).details(seen()).help(format!(
        "if it is a stage, {marker}confirm with `--confirm-external {database}`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_known_by_whole_words() {
        for (name, word) in [
            ("shop_prod", Some("prod")),
            ("prod2-db.example.com", Some("prod")),
            ("Shop-PRODUCTION", Some("production")),
            ("db.live.example.com", Some("live")),
            ("products", None),
            ("delivery", None),
            ("mastermind", None),
            ("staging", None),
            ("", None),
        ] {
            assert_eq!(denied_word(name).as_deref(), word, "{name}");
        }
    }

    #[test]
    fn only_the_marker_or_the_name_opens_the_door() {
        let sessions = Suspicion::Sessions {
            count: 3,
            active: 1,
            applications: vec!["psql".into(), "web".into()],
        };
        let name = Suspicion::Name {
            what: "database",
            name: "prod".into(),
            word: "prod".into(),
        };
        assert!(refuse(&[], "app", None).is_ok());
        let all = [Suspicion::Unmarked, sessions.clone(), name];
        let story = refuse(&all, "app", None).expect_err("suspicious").story();
        for part in [
            "sessions of others: 3 (`psql`, `web`), 1 of them active",
            "not marked",
            "has `prod` in it",
            "--confirm-external app",
            "ALTER DATABASE \"app\" SET lockproof.staging = 'on'",
        ] {
            assert!(story.contains(part), "{part} in {story}");
        }
        assert!(refuse(&all, "app", Some("app")).is_ok());
        let story = refuse(&all, "app", Some("App")).expect_err("other").story();
        assert!(story.contains("confirmation is for `App`"));
        let story = refuse(&[sessions], "app", None)
            .expect_err("in use")
            .story();
        assert!(!story.contains("ALTER DATABASE"), "{story}");
        let standby = [Suspicion::Standby];
        assert!(refuse(&standby, "app", Some("app")).is_err());
    }
}
