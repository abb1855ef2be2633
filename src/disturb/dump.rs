//! The nightly backup: the real `pg_dump`, which locks every table in ACCESS SHARE until it is done.

use super::{InPlace, Place};
use crate::stage::ToolOutput;
use crate::{Error, Result};

/// Its session, once it has locked every table that it dumps.
const IN_PLACE: &str = "
SELECT a.pid FROM pg_catalog.pg_stat_activity a
 WHERE a.application_name = pg_catalog.left($1, 63) AND a.pid <> pg_catalog.pg_backend_pid()
   AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l
                           WHERE l.pid = a.pid AND l.relation = c.oid AND l.granted))
 LIMIT 1";

/// Dumps to its end, or until it is to end.
pub(super) async fn run(place: &mut Place, in_place: InPlace<'_>) -> Result<()> {
    let control = place.control().await?;
    let ground = place.ground.clone();
    // Another name than the control session's, by which it is found.
    let application = format!("{} pg_dump", place.application);
    let dump = ground
        .beside
        .dump(&ground.endpoint, &application, ground.major);
    let until = async {
        let pid = control
            .until(
                "`pg_dump` did not lock every table",
                IN_PLACE,
                &[&application],
            )
            .await?;
        in_place(vec![pid]);
        place.over().await;
        Ok::<i32, Error>(pid)
    };
    tokio::pin!(dump);
    tokio::select! {
        output = &mut dump => output.and_then(|output| succeeded(&output)),
        pid = until => {
            control.end(pid?).await?;
            // It says that its connection broke, and has no reason to go on.
            dump.await.map(drop)
        }
    }
}

fn succeeded(output: &ToolOutput) -> Result<()> {
    match output.status {
        Some(0) => Ok(()),
        _ => Err(Error::stage("`pg_dump` failed").details(output.stderr.iter().cloned())),
    }
}
