//! How to reach a server, with a password that cannot be printed.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

use super::quiet::{self, Quiet};
use super::tls::Tls;
use crate::redact;

/// How long an address may take to answer, unless `connect_timeout` says it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A password: never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The password itself, for the wire and for a child's environment only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A host name or address.
    Tcp(String),
    /// The folder of a Unix socket.
    Unix(PathBuf),
}

/// Everything needed to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where the server listens.
    pub host: Host,
    /// The port; it also names the socket.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The password; None: the server asks for none.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// What else there is to say of the way; nothing for stages of ours.
    pub link: Link,
}

/// The way to a server that somebody else runs; by default that of our own stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The address to connect to in place of the host's; the host is then a name alone.
    pub address: Option<IpAddr>,
    /// How it is encrypted; None: not at all, and nothing is said of it to programs.
    pub tls: Option<Tls>,
    /// Whether the password's proof is bound to the TLS session.
    pub binding: Binding,
    /// `options` of the session, such as `-c work_mem=64MB`; None: none.
    pub options: Option<String>,
    /// How long an address may take to answer; None: ten seconds.
    pub patience: Option<Duration>,
    /// Whether sessions of lockproof's own can keep event triggers from firing.
    pub quiet: Quiet,
}

/// libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Binding {
    /// Never.
    Disable,
    /// Where server and certificate can.
    #[default]
    Prefer,
    /// In any case.
    Require,
}

impl Binding {
    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

impl Endpoint {
    /// Variables of libpq that say where a program connects and how, and that whoever called us may
    /// have set: with `PGSERVICE` a program would go elsewhere, whatever `PGHOST` says. They are taken
    /// out of its environment before [`Self::environment`] goes in.
    pub const OVERRULED: [&str; 18] = [
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGUSER",
        "PGDATABASE",
        "PGPASSWORD",
        "PGPASSFILE",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGSSLMODE",
        "PGSSLNEGOTIATION",
        "PGSSLROOTCERT",
        "PGSSLCERT",
        "PGSSLKEY",
        "PGCHANNELBINDING",
        "PGGSSENCMODE",
        "PGTARGETSESSIONATTRS",
        "PGREQUIREAUTH",
    ];

    /// How long an address may take to answer.
    pub fn patience(&self) -> Duration {
        self.link.patience.unwrap_or(PATIENCE)
    }

    /// The driver's configuration, under this `application_name`.
    pub fn config(&self, application_name: &str) -> tokio_postgres::Config {
        self.remember();
        let mut config = tokio_postgres::Config::new();
        match &self.host {
            Host::Tcp(host) => config.host(host),
            Host::Unix(folder) => config.host_path(folder),
        };
        config
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(application_name)
            .connect_timeout(self.patience())
            .tcp_user_timeout(Duration::from_secs(30))
            .channel_binding(match self.link.binding {
                Binding::Disable => ChannelBinding::Disable,
                Binding::Prefer => ChannelBinding::Prefer,
                Binding::Require => ChannelBinding::Require,
            });
        if let Some(address) = self.link.address {
            config.hostaddr(address);
        }
        if let Some(options) = &self.link.options {
            config.options(options);
        }
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        config
    }

    /// The same server, another database.
    #[must_use]
    pub fn in_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// `postgres://user@host:port/database`, without the password: safe to print.
    pub fn shown(&self) -> String {
        self.url_with("postgres", None)
    }

    /// The URL with its password, for a child's environment only.
    pub fn url(&self) -> Secret {
        // SQLAlchemy knows no other scheme; libpq and all else know both.
        let url = self.url_with("postgresql", self.password.as_ref());
        Secret(format!("{url}{}", self.query()))
    }

    /// From now on nothing that is shown or written has its password in it. One that is also the name of the
    /// role, the database or the host is hidden where it stands as a password alone: the name is no secret.
    pub fn remember(&self) {
        let Some(Secret(password)) = &self.password else {
            return;
        };
        let host = match &self.host {
            Host::Tcp(host) => host.as_str(),
            Host::Unix(_) => "",
        };
        if ![self.user.as_str(), &self.database, host].contains(&password.as_str()) {
            redact::remember(password);
        }
    }

    /// libpq's environment for a child process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.remember();
        let host = match &self.host {
            Host::Tcp(host) => host.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        };
        let mut environment = vec![
            ("PGHOST", host),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("DATABASE_URL", self.url().0),
        ];
        if let Some(password) = &self.password {
            environment.push(("PGPASSWORD", password.reveal().to_owned()));
        }
        if let Some(address) = self.link.address {
            environment.push(("PGHOSTADDR", address.to_string()));
        }
        if let Some(options) = &self.link.options {
            environment.push(("PGOPTIONS", options.clone()));
        }
        if self.link.binding != Binding::default() {
            environment.push(("PGCHANNELBINDING", self.link.binding.name().to_owned()));
        }
        environment.extend(self.link.tls.iter().flat_map(Tls::environment));
        environment
    }

    /// The same for a program that is a tool of lockproof's own: no event trigger fires for it, where
    /// the server is known to allow that.
    pub fn own_environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.environment();
        if self.link.quiet.is_taken() {
            environment.retain(|(name, _)| *name != "PGOPTIONS");
            let options = quiet::with_ours(self.link.options.as_deref());
            environment.push(("PGOPTIONS", options));
        }
        environment
    }

    /// What a URL says behind its `?`; empty where there is nothing to say.
    fn query(&self) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        if let Some(address) = self.link.address {
            pairs.push(("hostaddr", address.to_string()));
        }
        if let Some(options) = &self.link.options {
            pairs.push(("options", options.clone()));
        }
        if self.link.binding != Binding::default() {
            pairs.push(("channel_binding", self.link.binding.name().to_owned()));
        }
        pairs.extend(self.link.tls.iter().flat_map(Tls::query));
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={}", percent(value)))
            .collect();
        match pairs.as_slice() {
            [] => String::new(),
            pairs => format!("?{}", pairs.join("&")),
        }
    }

    fn url_with(&self, scheme: &str, password: Option<&Secret>) -> String {
        let user = percent(&self.user);
        let password = password
            .map(|secret| format!(":{}", percent(secret.reveal())))
            .unwrap_or_default();
        let database = percent(&self.database);
        match &self.host {
            Host::Tcp(host) => {
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.clone()
                };
                format!(
                    "{scheme}://{user}{password}@{host}:{}/{database}",
                    self.port
                )
            }
            Host::Unix(folder) => format!(
                "{scheme}://{user}{password}@{}:{}/{database}",
                percent(&folder.display().to_string()),
                self.port
            ),
        }
    }
}

/// Percent-encodes what has a meaning of its own in a URL.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let endpoint = Endpoint {
            host: Host::Tcp("::1".into()),
            port: 5432,
            user: "a b".into(),
            password: Some(Secret::new("s3/cret")),
            database: "Größe".into(),
            link: Link::default(),
        };
        assert_eq!(
            endpoint.shown(),
            "postgres://a%20b@[::1]:5432/Gr%C3%B6%C3%9Fe"
        );
        assert!(!format!("{endpoint:?}").contains("s3"));
        let url = endpoint.url();
        assert!(url.reveal().starts_with("postgresql://a%20b:s3%2Fcret@"));
        let url = endpoint.url().reveal().to_owned();
        endpoint.remember();
        let said = redact::hide(&format!("{url} s3/cret s3%2Fcret"));
        assert!(!said.contains("cret"), "{said}");
    }
}
