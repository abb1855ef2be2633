//! A transaction that did something and then nothing: a forgotten session, a client that went away.

use super::control::{Control, refused};
use super::{InPlace, Place};
use crate::pg::Session;
use crate::plan::Wrote;
use crate::{Error, Result};

/// Stays open until it is to end, and takes back what it wrote.
pub(super) async fn run(
    place: &mut Place,
    relation: &str,
    wrote: Wrote,
    in_place: InPlace<'_>,
) -> Result<()> {
    let control = place.control().await?;
    let (oid, table) = control.table(relation).await?;
    let work = match wrote {
        Wrote::No => format!("SELECT FROM {table} LIMIT 1"),
        Wrote::Yes => touch(&control, oid, &table).await?,
    };
    let session = Session::open(&place.ground.endpoint, &place.application).await?;
    session
        .client
        .batch_execute(&format!("BEGIN; {work}"))
        .await
        .map_err(|error| refused(&error))?;
    in_place(vec![session.pid]);
    place.over().await;
    session
        .client
        .batch_execute("ROLLBACK")
        .await
        .map_err(|error| refused(&error))
}

/// A statement that changes a row of the table into itself.
pub(super) async fn touch(control: &Control, oid: u32, table: &str) -> Result<String> {
    let column = writable(control, oid, table).await?;
    Ok(format!(
        "UPDATE {table} SET {column} = {column} WHERE ctid = (SELECT ctid FROM {table} LIMIT 1)"
    ))
}

/// A column that can be written, quoted.
pub(super) async fn writable(control: &Control, oid: u32, table: &str) -> Result<String> {
    let column = control
        .value::<String>(
            "SELECT pg_catalog.quote_ident(attname::text) FROM pg_catalog.pg_attribute \
             WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attgenerated = '' \
             AND attidentity <> 'a' ORDER BY attnum LIMIT 1",
            &[&oid],
        )
        .await?;
    column.ok_or_else(|| Error::usage(format!("`{table}` has no column that can be written")))
}
