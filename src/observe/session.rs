//! A watching session: it cannot disturb what it watches.

use tokio_postgres::Statement;

use crate::pg::Session;
use crate::pg::session::{Told, tell};
use crate::stage::Endpoint;
use crate::{Error, Result};

/// What the sampler's session sets for itself: it cannot write, cannot wait for a lock, cannot run
/// for long, so it cannot block what it watches.
const OWN_SETTINGS: &str = "SET default_transaction_read_only = on; SET lock_timeout = '100ms'; \
     SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'; \
     SET search_path = pg_catalog; SET jit = off";

/// A session with the settings of its own, and what it asks.
pub async fn open(endpoint: &Endpoint, name: &str, query: &str) -> Result<(Session, Statement)> {
    let session = Session::open(endpoint, name).await?;
    let failed = |error: tokio_postgres::Error| {
        Error::stage("the sampler cannot prepare its queries").because(Told(tell(&error)))
    };
    let client = &session.client;
    client.batch_execute(OWN_SETTINGS).await.map_err(failed)?;
    let statement = client.prepare(query).await.map_err(failed)?;
    Ok((session, statement))
}
