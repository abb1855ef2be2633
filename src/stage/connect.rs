//! One way to connect for the stages and the snapshot room; sessions that measure have their own.

use crate::stage::Endpoint;
use crate::{Error, Result};

/// Connects under this `application_name`; the session ends when the client is dropped.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    application_name: &str,
) -> Result<tokio_postgres::Client> {
    let (client, connection) = endpoint
        .config(application_name)
        .connect(tokio_postgres::NoTls)
        .await
        .map_err(|error| {
            Error::stage(format!("cannot connect to `{}`", endpoint.shown())).because(error)
        })?;
    // Its error reaches whoever uses the client next.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

/// An SQL identifier in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
