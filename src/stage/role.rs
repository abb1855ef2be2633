//! The role that a migration runs as, on a stage of our own.
//!
//! It logs in, since that is when a server applies a role's settings: SET ROLE applies none.

use tokio_postgres::Client;

use super::connect::quoted;
use super::quiet::SINCE;
use super::{Endpoint, Link, Quiet, Secret};
use crate::{Error, Result};

/// Lets the role in with a password that exists only in memory; how to connect as it.
///
/// # Errors
/// There is no such role.
pub async fn let_in(superuser: &Client, endpoint: &Endpoint, role: &str) -> Result<Endpoint> {
    let password = format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    );
    // Only the verifier goes over the wire, and no log setting of the stage may write it down.
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let quiet = "SET log_statement = 'none'; SET log_min_duration_statement = -1;
         SET log_min_duration_sample = -1; SET log_min_error_statement = 'panic'";
    let again = "RESET log_statement; RESET log_min_duration_statement;
         RESET log_min_duration_sample; RESET log_min_error_statement";
    let alter = format!(
        "ALTER ROLE {} LOGIN PASSWORD '{verifier}' VALID UNTIL 'infinity' CONNECTION LIMIT -1",
        quoted(role)
    );
    let work = async {
        superuser.batch_execute(quiet).await?;
        superuser.batch_execute(&alter).await?;
        superuser.batch_execute(again).await
    };
    work.await.map_err(|error| {
        Error::stage(format!("the migration's role `{role}` cannot log in")).because(error)
    })?;
    Ok(Endpoint {
        user: role.to_owned(),
        password: Some(Secret::new(password)),
        link: Link {
            // Of this role nothing is known yet.
            quiet: Quiet::default(),
            ..endpoint.link.clone()
        },
        ..endpoint.clone()
    })
}

/// Lets the role, which is no superuser, keep event triggers from firing as it logs in; false: it may
/// already, or the server has no such setting. What is lent is to be [taken back](take_back).
///
/// # Errors
/// The server does not answer.
pub async fn lend_rest(superuser: &Client, major: u32, role: &str) -> Result<bool> {
    if major < SINCE {
        return Ok(false);
    }
    let lent = async {
        let may = superuser
            .query_one(
                "SELECT pg_catalog.has_parameter_privilege($1, 'event_triggers', 'SET')",
                &[&role],
            )
            .await?;
        if may.get(0) {
            return Ok(false);
        }
        superuser
            .batch_execute(&format!(
                "GRANT SET ON PARAMETER event_triggers TO {}",
                quoted(role)
            ))
            .await?;
        Ok(true)
    };
    lent.await.map_err(|error| cannot_rest(role, error))
}

/// Takes back what was lent: the migration may no more than production lets it.
///
/// # Errors
/// The server does not answer.
pub async fn take_back(superuser: &Client, role: &str) -> Result<()> {
    let revoke = format!(
        "REVOKE SET ON PARAMETER event_triggers FROM {}",
        quoted(role)
    );
    let revoked = superuser.batch_execute(&revoke).await;
    revoked.map_err(|error| cannot_rest(role, error))
}

fn cannot_rest(role: &str, error: tokio_postgres::Error) -> Error {
    Error::stage(format!(
        "event triggers cannot be kept from firing for a session of `{role}`"
    ))
    .because(error)
}
