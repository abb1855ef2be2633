//! Tables of which a dump has some of the rows, in files beside it: `[[source.filtered]]`.
//!
//! `pg_dump` cannot choose rows. So their data is left out of the dump and loaded between its data and
//! what is made of it: indexes, foreign keys and triggers come last and see all rows.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Client;

use super::detect::{Format, Packing, damaged, open};
use super::pattern::exact;
use crate::stage::Watch;
use crate::stage::connect::{Told, quoted, tell};
use crate::{Error, Result, redact};

/// What is sent at once.
const PIECE: usize = 256 * 1024;

/// A table's rows in a file of `COPY`'s text format, packed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filtered {
    /// The table, with its schema, quoted where SQL needs it.
    pub table: String,
    /// The file, relative to the description's folder.
    pub file: PathBuf,
    /// Its columns in the file's order; empty: all of the table's.
    pub columns: Vec<String>,
    /// What its rows meet, for people.
    pub condition: String,
}

impl Filtered {
    /// The statement that takes the file's rows in.
    fn statement(&self) -> Result<String> {
        let (schema, name) = exact(&self.table).ok_or_else(|| {
            Error::usage(format!(
                "`source.filtered`: `{}` is no table's name",
                self.table
            ))
            .help("write `schema.table`, in double quotes where SQL needs them")
        })?;
        let schema = schema.map_or_else(String::new, |schema| format!("{}.", quoted(&schema)));
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        let columns = if columns.is_empty() {
            String::new()
        } else {
            format!(" ({})", columns.join(", "))
        };
        Ok(format!(
            "COPY {schema}{}{columns} FROM STDIN",
            quoted(&name)
        ))
    }

    /// Loads it.
    pub(super) async fn load(
        &self,
        client: &Client,
        folder: &Path,
        watch: &dyn Watch,
    ) -> Result<()> {
        let path = folder.join(&self.file);
        watch.phase(&format!("restoring the rows of `{}`", self.table));
        let failed = |error: tokio_postgres::Error| {
            let detail = error
                .as_db_error()
                .and_then(|said| said.where_())
                .map(|place| format!("CONTEXT: {}", redact::context(place)));
            Error::stage(format!("cannot restore the rows of `{}`", self.table))
                .because(Told(tell(&error)))
                .details(detail)
        };
        let packing = packing(&path)?;
        let broken = |error| damaged(&path, packing, error);
        let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
        let source = path.clone();
        // Ends by itself when nobody takes its next piece.
        let reading = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
            let mut reader = open(&source, packing)?;
            loop {
                let mut piece = vec![0; PIECE];
                let length = std::io::Read::read(&mut reader, &mut piece)?;
                piece.truncate(length);
                if length == 0 || sender.blocking_send(Bytes::from(piece)).is_err() {
                    return Ok(());
                }
            }
        });
        let mut sink = Box::pin(
            client
                .copy_in::<_, Bytes>(&self.statement()?)
                .await
                .map_err(failed)?,
        );
        let mut done = 0;
        while let Some(piece) = receiver.recv().await {
            done += piece.len() as u64;
            sink.send(piece).await.map_err(failed)?;
            watch.advance(done, None);
        }
        // Before the rows count: half a file must not pass for a whole one.
        reading
            .await
            .map_err(|error| Error::defect("reading rows broke off").because(error))?
            .map_err(broken)?;
        sink.as_mut().finish().await.map_err(failed)?;
        Ok(())
    }
}

/// Refuses rows beside a dump that cannot be restored in parts.
pub(super) fn refuse(filtered: &[Filtered], format: Format) -> Result<()> {
    for part in filtered {
        part.statement()?;
    }
    let in_parts = matches!(
        format,
        Format::Custom(Packing::None) | Format::Directory | Format::Tar
    );
    if filtered.is_empty() || in_parts {
        return Ok(());
    }
    Err(Error::usage(
        "`source.filtered` cannot be had with this dump: it is restored in one go, and the rows belong into its middle",
    )
    .help("take the dump with `pg_dump --format=directory`, custom or tar, not packed again"))
}

fn packing(path: &Path) -> Result<Packing> {
    let mut head = [0; 4];
    let read =
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut head));
    match read {
        Ok(length) => Ok(super::detect::packing(&head[..length])),
        Err(error) => Err(damaged(path, Packing::None, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_anew() {
        let mut part = Filtered {
            table: "shop.\"A\"\"b\"".into(),
            file: "f".into(),
            columns: vec!["x\"y".into(), "z".into()],
            condition: String::new(),
        };
        assert_eq!(
            part.statement().expect("valid"),
            "COPY \"shop\".\"A\"\"b\" (\"x\"\"y\", \"z\") FROM STDIN"
        );
        part.columns.clear();
        part.table = "events".into();
        assert_eq!(
            part.statement().expect("valid"),
            "COPY \"events\" FROM STDIN"
        );
        part.table = "a; DROP TABLE b".into();
        assert!(part.statement().is_err());
    }
}
