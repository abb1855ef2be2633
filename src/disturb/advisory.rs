//! A second runner of migrations: it wants the advisory lock that a first one holds.

use std::time::Duration;

use super::control::refused;
use super::{InPlace, Place};
use crate::Result;
use crate::pg::Session;
use crate::plan::Wants;

/// From one try to the next.
const AGAIN: Duration = Duration::from_millis(250);

/// Wants it until it is to end.
pub(super) async fn run(
    place: &mut Place,
    key: i64,
    wants: Wants,
    in_place: InPlace<'_>,
) -> Result<()> {
    let control = place.control().await?;
    let holder = Session::open(&place.ground.endpoint, &place.application).await?;
    holder
        .client
        .execute("SELECT pg_catalog.pg_advisory_lock($1)", &[&key])
        .await
        .map_err(|error| refused(&error))?;
    let second = Session::open(&place.ground.endpoint, &place.application).await?;
    let pids = vec![second.pid, holder.pid];
    match wants {
        Wants::Waiting => {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&key];
            let waiting = second
                .client
                .execute("SELECT pg_catalog.pg_advisory_lock($1)", &parameters);
            let until = async {
                control
                    .until(
                        "it did not come to wait for its advisory lock",
                        "SELECT pid FROM pg_catalog.pg_locks \
                         WHERE pid = $1 AND locktype = 'advisory' AND NOT granted LIMIT 1",
                        &[&second.pid],
                    )
                    .await?;
                in_place(pids);
                place.over().await;
                Ok(())
            };
            tokio::select! {
                waited = waiting => waited.map(drop).map_err(|error| refused(&error)),
                ended = until => {
                    second.cancel().await;
                    ended
                }
            }
        }
        Wants::Polling => {
            in_place(pids);
            let polling = async {
                loop {
                    second
                        .client
                        .execute("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&key])
                        .await
                        .map_err(|error| refused(&error))?;
                    tokio::time::sleep(AGAIN).await;
                }
            };
            tokio::select! {
                failed = polling => failed,
                () = place.over() => Ok(()),
            }
        }
    }
}
