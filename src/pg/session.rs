//! A connection with its server process known.

use tokio_postgres::{CancelToken, Client, NoTls};

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
