//! A session beside a disturbance's own: sees whether it is in place, ends it.

use std::time::Duration;

use tokio_postgres::types::{FromSql, ToSql};

use crate::pg::Session;
use crate::pg::session::{Told, tell};
use crate::stage::Endpoint;
use crate::{Error, Result};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(2);
/// A disturbance that is not in place by then is not to be had.
const PATIENCE: Duration = Duration::from_secs(60);

/// The session.
pub(super) struct Control {
    session: Session,
}

impl Control {
    /// Opens it.
    pub async fn open(endpoint: &Endpoint, application: &str) -> Result<Self> {
        let session = Session::open(endpoint, application).await?;
        let control = Self { session };
        // It must not stand in a queue itself.
        control
            .execute("SET lock_timeout = '5s'; SET client_min_messages = 'error'")
            .await?;
        Ok(control)
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        self.session
            .client
            .batch_execute(sql)
            .await
            .map_err(|error| refused(&error))
    }

    /// The oid and the quoted name of a table.
    pub async fn table(&self, name: &str) -> Result<(u32, String)> {
        let row = self
            .session
            .client
            .query_opt(
                "SELECT c.oid, c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c \
                 WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p', 'm')",
                &[&name],
            )
            .await
            .map_err(|error| refused(&error))?;
        row.map(|row| (row.get(0), row.get(1))).ok_or_else(|| {
            Error::usage(format!("there is no table `{name}`"))
                .help("write it as in SQL, with its schema where that is not on the search path")
        })
    }

    /// Waits until a question is answered with a number, or is told that it never will.
    pub async fn until(
        &self,
        what: &str,
        question: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<i32> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.value(question, parameters).await? {
                return Ok(answer);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::stage(format!(
                    "{what} within {} s",
                    PATIENCE.as_secs()
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until a session holds a lock on a table.
    pub async fn holds(&self, pid: i32, oid: u32) -> Result<()> {
        self.until(
            "it did not come to hold its lock",
            "SELECT 1 FROM pg_catalog.pg_locks WHERE pid = $1 AND relation = $2 AND granted LIMIT 1",
            &[&pid, &oid],
        )
        .await
        .map(drop)
    }

    /// The value that a question is answered with; None: no row.
    pub async fn value<T: for<'a> FromSql<'a>>(
        &self,
        question: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>> {
        let row = self
            .session
            .client
            .query_opt(question, parameters)
            .await
            .map_err(|error| refused(&error))?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Ends a session.
    pub async fn end(&self, pid: i32) -> Result<()> {
        self.session
            .client
            .execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid])
            .await
            .map_err(|error| refused(&error))
            .map(drop)
    }
}

/// What the server said.
pub(super) fn refused(error: &tokio_postgres::Error) -> Error {
    Error::stage("the server refused").because(Told(tell(error)))
}
