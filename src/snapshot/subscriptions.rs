//! Subscriptions of a restored base: disabled, without a slot, and leading nowhere.
//!
//! `DROP SUBSCRIPTION` drops its slot on the publisher, and of a table whose first copy was under way
//! also the slot of that, which needs no name: so the publisher's address goes as well. The catalogue is
//! changed itself: ALTER SUBSCRIPTION works in one database only and fires event triggers.

use tokio_postgres::Client;

use super::found::Found;
use super::publisher::detached;
use crate::stage::Watch;
use crate::{Error, Result};

/// Detaches every subscription of the cluster from its publisher, in all databases.
pub(super) async fn detach(client: &Client, found: &Found, watch: &dyn Watch) -> Result<()> {
    let failed = |error| {
        Error::stage("the subscriptions of the snapshot cannot be detached from their publishers")
            .because(error)
    };
    let rows = client
        .query(
            "SELECT oid, subname::text, subconninfo FROM pg_catalog.pg_subscription ORDER BY subname",
            &[],
        )
        .await
        .map_err(failed)?;
    let mut names = Vec::new();
    for row in &rows {
        let (oid, name): (u32, &str) = (row.get(0), row.get(1));
        let conninfo: Option<&str> = row.get(2);
        client
            .execute(
                "UPDATE pg_catalog.pg_subscription
                 SET subenabled = false, subslotname = NULL, subconninfo = $2 WHERE oid = $1",
                &[&oid, &detached(conninfo.unwrap_or_default())],
            )
            .await
            .map_err(failed)?;
        names.push(format!("`{name}`"));
    }
    if !names.is_empty() {
        found.note(
            watch,
            format!(
                "subscriptions are disabled and cut off from their publishers and slots: {}",
                names.join(", ")
            ),
        );
    }
    Ok(())
}
