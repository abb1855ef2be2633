//! How to reach a server, with a password that cannot be printed.

use std::fmt;
use std::path::PathBuf;

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
}

impl Endpoint {
    /// The driver's configuration, under this `application_name`.
    pub fn config(&self, application_name: &str) -> tokio_postgres::Config {
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
            .connect_timeout(std::time::Duration::from_secs(10))
            .tcp_user_timeout(std::time::Duration::from_secs(30));
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
        self.url_with(None)
    }

    /// The URL with its password, for a child's environment only.
    pub fn url(&self) -> Secret {
        Secret(self.url_with(self.password.as_ref()))
    }

    /// libpq's environment for a child process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
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
        environment
    }

    fn url_with(&self, password: Option<&Secret>) -> String {
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
                    "postgres://{user}{password}@{host}:{}/{database}",
                    self.port
                )
            }
            Host::Unix(folder) => format!(
                "postgres://{user}{password}@{}:{}/{database}",
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
        };
        assert_eq!(
            endpoint.shown(),
            "postgres://a%20b@[::1]:5432/Gr%C3%B6%C3%9Fe"
        );
        assert!(!format!("{endpoint:?}").contains("s3"));
        assert!(endpoint.url().reveal().contains(":s3%2Fcret@"));
    }
}
