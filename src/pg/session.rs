//! A connection with its server process known.

use tokio_postgres::{CancelToken, Client, NoTls};

use super::OLDEST_MAJOR;
use crate::stage::Endpoint;
use crate::{Error, Result};

/// A connection; dropping it ends it.
#[derive(Debug)]
pub struct Session {
    /// The driver's client.
    pub client: Client,
    /// The server process.
    pub pid: i32,
}

impl Session {
    /// Connects; the connection is driven by the current runtime.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn open(endpoint: &Endpoint, application_name: &str) -> Result<Self> {
        let failed = |error: tokio_postgres::Error| {
            Error::stage(format!("cannot connect to `{}`", endpoint.shown()))
                .because(Told(tell(&error)))
        };
        let (client, connection) = endpoint
            .config(application_name)
            .connect(NoTls)
            .await
            .map_err(failed)?;
        // It says so in its greeting, before any question that it might not understand.
        if let Some(version) = connection.parameter("server_version") {
            supported(version)?;
        }
        // Its errors reach whoever waits for an answer.
        tokio::spawn(connection);
        let pid = client
            .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
            .await
            .map_err(failed)?
            .get(0);
        Ok(Self { client, pid })
    }

    /// Cancels what runs on the session.
    pub fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }
}

/// Refuses a server that is older than what is supported.
pub fn supported(version: &str) -> Result<()> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(major) if major < OLDEST_MAJOR => Err(Error::stage(format!(
            "the server is PostgreSQL {version}, older than the oldest that is supported, {OLDEST_MAJOR}"
        ))
        .help(format!("use a server of PostgreSQL {OLDEST_MAJOR} or newer"))),
        _ => Ok(()),
    }
}

/// The driver's error in one line: it prints only the first link of its chain by itself.
pub fn tell(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", db.message(), db.code().code());
    }
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(link) = cause {
        told = format!("{told}: {link}");
        cause = link.source();
    }
    told
}

/// A cause that was already put into words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_servers_are_refused() {
        for version in ["11.22 (Debian 11.22-0+deb10u2)", "9.6.24"] {
            let story = supported(version).expect_err("too old").story();
            assert!(
                story.contains(version) && story.contains("12 or newer"),
                "{story}"
            );
        }
        for version in [
            "12.0",
            "17.11 (Debian 17.11-0+deb13u1)",
            "19devel",
            "unheard of",
        ] {
            assert!(supported(version).is_ok(), "{version}");
        }
    }
}
