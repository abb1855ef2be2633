//! A connection with its server process known.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::OLDEST_MAJOR;
use crate::stage::Endpoint;
use crate::stage::connect::{self, Canceller, Opened, Triggers};
use crate::{Error, Result};

pub use crate::stage::connect::{Told, said, tell, tell_about};

/// How long a connection may take to be closed.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection; dropping it ends it.
#[derive(Debug)]
pub struct Session {
    /// The driver's client.
    pub client: Client,
    /// The server process.
    pub pid: i32,
    /// The version of TLS that it goes over; None: it is not encrypted.
    pub encryption: Option<&'static str>,
    canceller: Canceller,
    driver: JoinHandle<()>,
}

impl Session {
    /// Connects as lockproof itself: no event trigger fires, where the server and the role allow that. The
    /// connection is driven by the current runtime.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn open(endpoint: &Endpoint, application_name: &str) -> Result<Self> {
        let opened = connect::open(endpoint, application_name).await?;
        Self::of(opened, endpoint).await
    }

    /// Connects in an application's place: event triggers fire as they do for it.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn open_as_application(endpoint: &Endpoint, application_name: &str) -> Result<Self> {
        let opened = connect::open_with(endpoint, application_name, Triggers::Fire).await?;
        Self::of(opened, endpoint).await
    }

    async fn of(opened: Opened, endpoint: &Endpoint) -> Result<Self> {
        // It says so in its greeting, before any question that it might not understand.
        if let Some(version) = &opened.server_version {
            supported(version)?;
        }
        let pid = opened
            .client
            .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
            .await
            .map_err(|error| {
                Error::stage(format!("cannot connect to `{}`", endpoint.shown()))
                    .because(Told(tell(&error)))
            })?
            .get(0);
        Ok(Self {
            client: opened.client,
            pid,
            encryption: opened.encryption,
            canceller: opened.canceller,
            driver: opened.driver,
        })
    }

    /// Asks the server to cancel what runs on the session.
    pub async fn cancel(&self) {
        self.canceller.cancel(&self.client).await;
    }

    /// Waits until the connection is no more.
    pub async fn ended(&mut self) {
        // Asked again once it has told that it ended, it would never answer.
        if !self.driver.is_finished() {
            let _ = (&mut self.driver).await;
        }
    }

    /// Takes leave of the server, for a moment at most.
    pub async fn close(self) {
        drop(self.client);
        let _ = tokio::time::timeout(FAREWELL, self.driver).await;
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
