//! The role that a migration runs as, on a stage of our own.
//!
//! It logs in, since that is when a server applies a role's settings: SET ROLE applies none.

use tokio_postgres::Client;

use super::connect::quoted;
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
