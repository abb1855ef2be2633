//! Whether an external server may be production.
//!
//! A migration that is replayed on production is the one accident that this tool can cause. So an
//! external server has to look like a stage, or its user has to say its name.

use std::fmt;

use tokio_postgres::Client;

use crate::stage::connect::{Told, quoted, tell};
use crate::stage::{Endpoint, Host};
use crate::{Error, Result};

/// Names that production goes by, as words in the names of databases, hosts and clusters.
const DENIED: [&str; 6] = ["prod", "production", "live", "primary", "master", "prd"];
/// Sessions of ours have an `application_name` that begins so.
const OURS: &str = "lockproof";

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
    Listed {
        /// What has the name: `host`, `address`, `database` or `cluster`.
        what: &'static str,
        /// The name.
        name: String,
        /// The entry of the list.
        entry: String,
    },
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
            Self::Listed { what, name, entry } => {
                write!(
                    f,
                    "the name of its {what}, `{name}`, is on the list as `{entry}`"
                )
            }
        }
    }
}

/// What the list says of a server's address, before anything is sent there.
pub fn listed(endpoint: &Endpoint, production: &[String]) -> Vec<Suspicion> {
    let address = endpoint.link.address.map(|address| address.to_string());
    let names = [
        ("host", Some(host(endpoint))),
        ("address", address),
        ("database", Some(endpoint.database.clone())),
    ];
    names
        .into_iter()
        .filter_map(|(what, name)| entry_for(what, &name?, production))
        .collect()
}

fn entry_for(what: &'static str, name: &str, production: &[String]) -> Option<Suspicion> {
    let entry = production.iter().find(|entry| fits(entry, name))?;
    Some(Suspicion::Listed {
        what,
        name: name.to_owned(),
        entry: entry.clone(),
    })
}

/// Whether a name is an entry's, in whatever case; `*` is any text, also none.
fn fits(entry: &str, name: &str) -> bool {
    let (entry, name) = (entry.trim().to_lowercase(), name.to_lowercase());
    let mut parts = entry.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return !entry.is_empty() && rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn host(endpoint: &Endpoint) -> String {
    match &endpoint.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    }
}

/// Looks at a server through a session of ours; changes nothing.
///
/// # Errors
/// The server does not answer.
pub async fn examine(
    client: &Client,
    endpoint: &Endpoint,
    production: &[String],
) -> Result<Vec<Suspicion>> {
    let row = client
        .query_one(include_str!("../queries/examine.sql"), &[&OURS])
        .await
        .map_err(|error| {
            Error::stage(format!("cannot look at `{}`", endpoint.shown()))
                .because(Told(tell(&error)))
        })?;
    let marked: Option<&str> = row.get("marker");
    let cluster: String = row.get("cluster");
    let mut suspicions = listed(endpoint, production);
    suspicions.extend(entry_for("cluster", &cluster, production));
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
    let is_listed = |suspicion: &Suspicion| matches!(suspicion, Suspicion::Listed { .. });
    if !suspicions.iter().any(is_listed) {
        return Ok(());
    }
    Err(Error::stage(format!(
        "the server of `{database}` is production, by the list of `--production`"
    ))
    .details(suspicions.iter().map(Suspicion::to_string)))
}

/// Passes a server with nothing suspicious, or whose user confirmed it by its database's name.
pub fn refuse(suspicions: &[Suspicion], database: &str, confirmation: Option<&str>) -> Result<()> {
    let seen = || suspicions.iter().map(Suspicion::to_string);
    refuse_listed(suspicions, database).map_err(|error| {
        error.help("name another server; no confirmation opens one that is on the list")
    })?;
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

    #[test]
    fn an_entry_is_a_whole_name_or_a_pattern_of_one() {
        for (entry, name, is) in [
            ("db.example.org", "DB.Example.org", true),
            ("db.example.org", "db2.example.org", false),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "example.org", false),
            ("10.0.*", "10.0.1.2", true),
            ("shop*live*", "shop-live", true),
            ("shop*live*", "shop", false),
            ("ab*ba", "aba", false),
            (" shop ", "shop", true),
            ("*", "anything", true),
            ("", "", false),
        ] {
            assert_eq!(fits(entry, name), is, "{entry} {name}");
        }
    }
}
