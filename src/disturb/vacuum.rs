//! Vacuums that are in the way: one that does not yield, and one that takes ACCESS EXCLUSIVE itself.

use std::time::Duration;

use super::control::{Control, refused};
use super::idle::writable;
use super::{InPlace, Place};
use crate::pg::Session;
use crate::{Error, Result};

/// The least that a table may ask for: so many transactions, and its rows have to be frozen.
const FREEZE_AFTER: i64 = 100_000;

/// A vacuum as slow as this one takes a tenth of a second for each of them at the least.
const UNFROZEN_PAGES: u32 = 1000;

/// An autovacuum to prevent wraparound, as slow as one of a large table.
///
/// The server really starts it: the table is set to be frozen early, and transaction numbers are used up until it is
/// due. <https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND>
pub(super) async fn wraparound(
    place: &mut Place,
    relation: &str,
    in_place: InPlace<'_>,
) -> Result<()> {
    let control = place.control().await?;
    let (oid, table) = control.table(relation).await?;
    control
        .execute(&format!(
            "ALTER TABLE {table} SET (autovacuum_freeze_max_age = {FREEZE_AFTER}, \
             autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
        ))
        .await?;
    unfreeze(&control, oid, &table).await?;
    use_up(&control, oid).await?;
    control
        .execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        .await?;
    control
        .execute("SELECT pg_catalog.pg_reload_conf()")
        .await?;
    let worker = control
        .until(
            "the server started no autovacuum to prevent wraparound",
            "SELECT a.pid FROM pg_catalog.pg_stat_activity a \
             JOIN pg_catalog.pg_locks l ON l.pid = a.pid AND l.relation = $1 AND l.granted \
             WHERE a.backend_type = 'autovacuum worker' AND a.query LIKE '%(to prevent wraparound)' \
             LIMIT 1",
            &[&oid],
        )
        .await;
    match worker {
        Ok(worker) => {
            in_place(vec![worker]);
            place.over().await;
            // Before it is ended, so that no second one follows at once.
            calm(&control).await?;
            control.end(worker).await
        }
        Err(error) => {
            calm(&control).await?;
            Err(error)
        }
    }
}

/// No autovacuum for the rest of the replay.
async fn calm(control: &Control) -> Result<()> {
    control
        .execute("ALTER SYSTEM SET autovacuum_naptime = '1h'")
        .await?;
    control.execute("SELECT pg_catalog.pg_reload_conf()").await
}

/// Changes a row on each of the first pages into itself: a page whose rows are all frozen is passed over.
async fn unfreeze(control: &Control, oid: u32, table: &str) -> Result<()> {
    let column = writable(control, oid, table).await?;
    // The rows' triggers are no part of the question.
    control
        .execute(&format!(
            "SET session_replication_role = 'replica'; \
             UPDATE {table} SET {column} = {column} WHERE ctid = ANY (ARRAY(\
                 SELECT ('(' || page || ',1)')::tid FROM generate_series(0, {UNFROZEN_PAGES}) AS page)); \
             RESET session_replication_role"
        ))
        .await
}

/// Uses transaction numbers until the table is due. A transaction that has one and wrote nothing is not flushed.
async fn use_up(control: &Control, oid: u32) -> Result<()> {
    let age = control
        .value::<i64>(
            "SELECT pg_catalog.age(relfrozenxid)::bigint FROM pg_catalog.pg_class WHERE oid = $1",
            &[&oid],
        )
        .await?
        .unwrap_or(0);
    let left = u64::try_from(FREEZE_AFTER + 1000 - age).unwrap_or(0);
    let sql = format!(
        "DO $$ BEGIN FOR n IN 1..{left} LOOP PERFORM pg_catalog.txid_current(); COMMIT; END LOOP; END $$"
    );
    match left {
        0 => Ok(()),
        _ => control.execute(&sql).await,
    }
}

/// A VACUUM that gives the end of the table back, for which it takes ACCESS EXCLUSIVE.
pub(super) async fn truncating(
    place: &mut Place,
    relation: &str,
    deletes: f64,
    in_place: InPlace<'_>,
) -> Result<()> {
    let control = place.control().await?;
    let (oid, table) = control.table(relation).await?;
    if deletes > 0.0 {
        let pages = control
            .value::<i64>(
                "SELECT pg_catalog.pg_relation_size($1::oid::pg_catalog.regclass) \
                 / pg_catalog.current_setting('block_size')::bigint",
                &[&oid],
            )
            .await?
            .unwrap_or(0);
        let from = (pages as f64 * (1.0 - deletes)).floor().max(0.0);
        // Rows that others refer to go as well: what is asked about is the vacuum.
        control
            .execute(&format!(
                "SET session_replication_role = 'replica'; \
                 DELETE FROM {table} WHERE ctid >= '({from:.0},0)'; \
                 RESET session_replication_role"
            ))
            .await?;
    }
    let session = Session::open(&place.ground.endpoint, &place.application).await?;
    let statement = format!("VACUUM {table}");
    let vacuum = session.client.batch_execute(&statement);
    let until = async {
        control.holds(session.pid, oid).await?;
        in_place(vec![session.pid]);
        place.over().await;
        Ok::<(), Error>(())
    };
    tokio::pin!(until);
    tokio::pin!(vacuum);
    tokio::select! {
        done = &mut vacuum => done.map_err(|error| refused(&error)),
        ended = &mut until => {
            session.cancel().await;
            // A cancelled one is over; so is one that was just done.
            let _ = tokio::time::timeout(Duration::from_secs(5), vacuum).await;
            ended
        }
    }
}
