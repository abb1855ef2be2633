//! A server that somebody else runs: how to reach it, and whether it may be production.
//!
//! A migration that is replayed on production is the one accident that this tool can cause. So an
//! external server has to look like a stage, or its user has to say its name.

use std::fmt;
use std::path::PathBuf;

use tokio_postgres::Client;

use crate::stage::{Endpoint, Host, Secret};
use crate::{Error, Result};

/// Names that production goes by, as words in the names of databases, hosts and clusters.
const DENIED: [&str; 6] = ["prod", "production", "live", "primary", "master", "prd"];
/// Sessions of ours have an `application_name` that begins so.
const OURS: &str = "lockproof";
const DEFAULT_PORT: u16 = 5432;

/// Reads `postgres://user:password@host:port/database?…`; what is left out is as libpq has it.
pub fn parse(url: &str) -> Result<Endpoint> {
    parse_with(url, |name| std::env::var(name).ok())
}

/// No message of it has a part of the URL that could be the password.
fn parse_with(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Endpoint> {
    let invalid = |what: &str| {
        Error::usage(format!("the URL of the stage is not valid: {what}")).help(
            "write it as `postgres://user:password@host:5432/database`, with `%40` for a `@` in a part and so on",
        )
    };
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or_else(|| invalid("it does not begin with `postgres://`"))?;
    if rest.contains('#') {
        return Err(invalid("a `#` has to be written as `%23`"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The last one: libpq allows none in the password, people write some.
    let (credentials, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    if credentials.contains('@') {
        return Err(invalid(
            "a `@` in the user or password has to be written as `%40`",
        ));
    }
    let decoded = |part: &str, what: &str| {
        decode(part).ok_or_else(|| invalid(&format!("the {what} is wrongly percent-encoded")))
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut user = some(decoded(user, "user")?);
    let mut password = some(decoded(password, "password")?);
    let mut database = some(decoded(path, "database")?);

    if address.contains(',') {
        return Err(Error::usage("the URL of the stage names several hosts")
            .help("name the one server that the migration is to be replayed on"));
    }
    let (host, port) = split_port(address).ok_or_else(|| invalid("the host is not readable"))?;
    let mut host = some(decoded(host, "host")?);
    let mut port = some(port.to_owned());
    let mut ssl = variable("PGSSLMODE");
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| invalid("a parameter has no value"))?;
        let value = decoded(value, "value of a parameter")?;
        match key {
            "host" | "hostaddr" => host = some(value),
            "port" => port = some(value),
            "user" => user = some(value),
            "password" => password = some(value),
            "dbname" => database = some(value),
            "sslmode" => ssl = Some(value),
            // Ours to set, or without meaning here.
            "application_name"
            | "connect_timeout"
            | "fallback_application_name"
            | "client_encoding"
            | "gssencmode"
            | "channel_binding"
            | "target_session_attrs" => {}
            other if other.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                return Err(Error::usage(format!(
                    "the parameter `{other}` in the URL of the stage is not known"
                ))
                .help("known are `host`, `port`, `user`, `password`, `dbname` and `sslmode`"));
            }
            _ => return Err(invalid("the name of a parameter is not readable")),
        }
    }
    match ssl.as_deref() {
        None | Some("" | "disable" | "allow" | "prefer") => {}
        Some(mode @ ("require" | "verify-ca" | "verify-full")) => {
            return Err(Error::usage(format!(
                "the stage is asked for with `sslmode={mode}`, and TLS is not built in"
            ))
            .help("reach the server through a tunnel (`ssh -L 15432:localhost:5432 HOST`) or its socket, or use a stage of this machine (`--stage docker`, `--stage local`)"));
        }
        Some(_) => {
            return Err(invalid(
                "`sslmode` is one of `disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`",
            ));
        }
    }

    let port = match port.or_else(|| variable("PGPORT")) {
        None => DEFAULT_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| invalid("the port is not a number from 1 to 65535"))?,
    };
    let host = match host.or_else(|| variable("PGHOST")) {
        // libpq would look for a socket in a folder of its own making.
        None => Host::Tcp("localhost".to_owned()),
        Some(folder) if folder.starts_with('/') => Host::Unix(PathBuf::from(folder)),
        Some(name) => Host::Tcp(name),
    };
    let user = user
        .or_else(|| variable("PGUSER"))
        .or_else(|| variable("USER"))
        .ok_or_else(|| invalid("it names no user, and `PGUSER` is not set"))?;
    let database = database
        .or_else(|| variable("PGDATABASE"))
        .unwrap_or_else(|| user.clone());
    Ok(Endpoint {
        host,
        port,
        user,
        password: password.or_else(|| variable("PGPASSWORD")).map(Secret::new),
        database,
    })
}

/// `host`, `host:port`, `[::1]:port`; the port may be empty.
fn split_port(address: &str) -> Option<(&str, &str)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, port)),
            None => rest.is_empty().then_some((host, "")),
        };
    }
    let (host, port) = address.split_once(':').unwrap_or((address, ""));
    (!port.contains(':')).then_some((host, port))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(
                u8::try_from(high * 16 + low)
                    .ok()
                    .filter(|byte| *byte != 0)?,
            );
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

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
        }
    }
}

/// Looks at a server through a session of ours; changes nothing.
pub async fn examine(client: &Client, endpoint: &Endpoint) -> Result<Vec<Suspicion>> {
    let row = client
        .query_one(include_str!("queries/examine.sql"), &[&OURS])
        .await
        .map_err(|error| {
            Error::stage(format!("cannot look at `{}`", endpoint.shown())).because(error)
        })?;
    let marked: Option<&str> = row.get("marker");
    let mut suspicions = Vec::new();
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
    let host = match &endpoint.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let names: [(&str, String); 3] = [
        ("database", row.get("database")),
        ("host", host),
        ("cluster", row.get("cluster")),
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

/// Passes a server with nothing suspicious, or whose user confirmed it by its database's name.
pub fn refuse(suspicions: &[Suspicion], database: &str, confirmation: Option<&str>) -> Result<()> {
    let seen = || suspicions.iter().map(Suspicion::to_string);
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
            crate::stage::connect::quoted(database)
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

    fn parsed(url: &str) -> Result<Endpoint> {
        parse_with(url, |name| (name == "USER").then(|| "me".to_owned()))
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        for (url, shown, password) in [
            ("postgres://a:b@h:6/d", "postgres://a@h:6/d", Some("b")),
            (
                "postgresql://a%40x:p%2F%3A%25@h/G%C3%B6%20e",
                "postgres://a%40x@h:5432/G%C3%B6%20e",
                Some("p/:%"),
            ),
            ("postgres://", "postgres://me@localhost:5432/me", None),
            ("postgres://h", "postgres://me@h:5432/me", None),
            ("postgres://a@/d", "postgres://a@localhost:5432/d", None),
            ("postgres://[::1]:7/d", "postgres://me@[::1]:7/d", None),
            ("postgres://h:/d", "postgres://me@h:5432/d", None),
            (
                "postgres:///d?host=/run/pg&port=99&user=u&password=x%26y",
                "postgres://u@%2Frun%2Fpg:99/d",
                Some("x&y"),
            ),
            (
                "postgres://%2Frun%2Fpg/d?sslmode=prefer",
                "postgres://me@%2Frun%2Fpg:5432/d",
                None,
            ),
        ] {
            let endpoint = parsed(url).expect(url);
            assert_eq!(endpoint.shown(), shown, "{url}");
            assert_eq!(endpoint.password.as_ref().map(Secret::reveal), password);
        }
        let endpoint = parse_with("postgres:///", |name| {
            Some(match name {
                "PGHOST" => "/s".to_owned(),
                "PGPORT" => "9".to_owned(),
                "PGSSLMODE" => "disable".to_owned(),
                other => other.to_lowercase(),
            })
        })
        .expect("all from the environment");
        assert_eq!(endpoint.shown(), "postgres://pguser@%2Fs:9/pgdatabase");
        assert_eq!(
            endpoint.password.as_ref().map(Secret::reveal),
            Some("pgpassword")
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, message) in [
            ("mysql://u:hunter2@h/d", "`postgres://`"),
            ("postgres://u:hunter2%zz@h/d", "password is wrongly"),
            ("postgres://u:hunter2@h:port/d", "port is not a number"),
            ("postgres://u:hunter2@h:0/d", "port is not a number"),
            ("postgres://u:hunter2@h:99999/d", "port is not a number"),
            ("postgres://u:hunter2@h,i/d", "several hosts"),
            ("postgres://u:hunt@er2@h/d", "`%40`"),
            ("postgres://u:hunter2#x@h/d", "`%23`"),
            ("postgres://u:hunter2@[::1/d", "host is not readable"),
            ("postgres://u:hunter2@::1/d", "host is not readable"),
            ("postgres://u:hunter2@h/d?sslmode", "no value"),
            ("postgres://u:hunter2@h/d?sslmode=sometimes", "`sslmode`"),
            (
                "postgres://u:hunter2@h/d?sslmode=require",
                "TLS is not built in",
            ),
            (
                "postgres://u:hunter2@h/d?sslmode=verify-full",
                "TLS is not built in",
            ),
            ("postgres://u:hunter2@h/d?colour=red", "`colour`"),
        ] {
            let story = parsed(url).expect_err(url).story();
            assert!(story.contains(message), "{story}");
            assert!(!story.contains("hunt") && !story.contains("er2"), "{story}");
        }
    }

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

    proptest::proptest! {
        #[test]
        fn no_url_makes_it_panic(rest in ".*") {
            let _ = parsed(&format!("postgres://{rest}"));
        }
    }
}
