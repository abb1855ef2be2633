//! A report: one long statement that reads a table.

use super::control::refused;
use super::{InPlace, Place};
use crate::Result;
use crate::pg::Session;

/// Longer than any replay: it is cancelled.
const FOR_EVER: &str = "86400";

/// Reads until it is to end.
pub(super) async fn run(place: &mut Place, relation: &str, in_place: InPlace<'_>) -> Result<()> {
    let control = place.control().await?;
    let (oid, table) = control.table(relation).await?;
    let session = Session::open(&place.ground.endpoint, &place.application).await?;
    // One row is enough: what is in the way is the lock, which lasts as long as the statement.
    let read = format!(
        "SELECT count(*), pg_catalog.pg_sleep({FOR_EVER}) FROM (SELECT FROM {table} LIMIT 1) AS report"
    );
    let reading = session.client.batch_execute(&read);
    let until = async {
        control.holds(session.pid, oid).await?;
        in_place(vec![session.pid]);
        place.over().await;
        Ok(())
    };
    tokio::select! {
        read = reading => read.map_err(|error| refused(&error)),
        ended = until => {
            session.cancel().await;
            ended
        }
    }
}
