//! An application that changes several tables in one transaction, in an order of its own.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::control::refused;
use super::idle::touch;
use super::{InPlace, Place};
use crate::Result;
use crate::pg::Session;

/// Writes until it is to end, and takes each transaction back.
pub(super) async fn run(
    place: &mut Place,
    relations: &[String],
    pause: Duration,
    in_place: InPlace<'_>,
) -> Result<()> {
    let control = place.control().await?;
    let mut writes = Vec::new();
    for relation in relations {
        let (oid, table) = control.table(relation).await?;
        writes.push(touch(&control, oid, &table).await?);
    }
    let session = Session::open(&place.ground.endpoint, &place.application).await?;
    // In the middle of its first transaction: the first table is locked, the next one is not yet.
    let mut first = Some(in_place);
    let round = async {
        loop {
            session.client.batch_execute("BEGIN").await?;
            let outcome = async {
                for write in &writes {
                    session.client.batch_execute(write).await?;
                    if let Some(in_place) = first.take() {
                        in_place(vec![session.pid]);
                    }
                    tokio::time::sleep(pause).await;
                }
                Ok::<(), tokio_postgres::Error>(())
            }
            .await;
            match outcome {
                Ok(()) => {}
                // The victim of a deadlock begins again, as an application does.
                Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {}
                Err(error) => return Err::<(), _>(error),
            }
            session.client.batch_execute("ROLLBACK").await?;
        }
    };
    tokio::select! {
        ended = round => ended.map_err(|error| refused(&error)),
        () = place.over() => {
            session.cancel().await;
            Ok(())
        }
    }
}
