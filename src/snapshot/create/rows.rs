//! Some rows of a table: checked, then copied into a packed file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use futures_util::TryStreamExt;
use tokio_postgres::Client;

use super::tables::Tables;
use super::{cannot_write, failed};
use crate::plan::Literals;
use crate::snapshot::filtered::Filtered;
use crate::stage::connect::{Told, quoted, tell_about};
use crate::{Error, Result};

/// The folder beside the dump.
const FOLDER: &str = "rows";
/// zstd's quickest: the rows come as fast as the server tells them.
const LEVEL: i32 = 1;

/// Refuses a condition that the server does not understand, before anything is read.
pub(super) async fn check(client: &Client, tables: &Tables) -> Result<()> {
    for (table, condition) in tables.filtered() {
        let question = format!("SELECT 1 FROM ONLY {} WHERE ({condition}\n)", table.quoted);
        client.prepare(&question).await.map_err(|error| {
            Error::usage(format!(
                "the condition for `{}` is not understood by the server",
                table.shown()
            ))
            .because(Told(tell_about(&error, Some(&question), Literals::Hidden)))
            .help("it stands behind WHERE in a query of that table alone: `SELECT … WHERE (CONDITION)`")
        })?;
    }
    Ok(())
}

/// Copies them all, one after the other, over the session that holds the snapshot.
pub(super) async fn copy(client: &Client, tables: &Tables, folder: &Path) -> Result<Vec<Filtered>> {
    let mut copied = Vec::new();
    for (number, (table, condition)) in tables.filtered().enumerate() {
        let name = format!("{FOLDER}/{}.copy.zst", number + 1);
        let path = folder.join(&name);
        if number == 0 {
            let rows = folder.join(FOLDER);
            std::fs::create_dir(&rows).map_err(|error| cannot_write(&rows, error))?;
        }
        let columns: Vec<String> = table.columns.iter().map(|column| quoted(column)).collect();
        // As pg_dump has it: the heirs of a table have files of their own.
        let statement = format!(
            "COPY (SELECT {} FROM ONLY {} WHERE ({condition}\n)) TO STDOUT",
            columns.join(", "),
            table.quoted
        );
        let lost = |error| {
            failed(
                &format!("the rows of `{}` cannot be read", table.shown()),
                error,
            )
        };
        let mut stream = Box::pin(client.copy_out(&statement).await.map_err(lost)?);
        let file = File::create_new(&path).map_err(|error| cannot_write(&path, error))?;
        let unwritten = |error| cannot_write(&path, error);
        let mut packed = zstd::stream::write::Encoder::new(file, LEVEL).map_err(unwritten)?;
        // Some 64 KiB a piece, packed in less than a millisecond: no thread of its own is worth it.
        while let Some(piece) = stream.try_next().await.map_err(lost)? {
            packed.write_all(&piece).map_err(unwritten)?;
        }
        packed
            .finish()
            .and_then(|file| file.sync_all())
            .map_err(unwritten)?;
        copied.push(Filtered {
            table: table.quoted.clone(),
            file: name.into(),
            columns: table.columns.clone(),
            condition: condition.to_owned(),
        });
    }
    Ok(copied)
}
