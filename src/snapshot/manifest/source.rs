//! `[source]`: where a snapshot's data comes from.

use std::path::PathBuf;

use super::keys::{Defect, Keys, not_empty};
use crate::snapshot::filtered::Filtered;
use crate::snapshot::hooks;
use crate::stage::hooked::Hooks;

/// All that `[source]` may be.
pub(super) const SOURCE_HELP: &str = "write `kind = \"generator\"` with `files = [\"generate.sql\"]`, `kind = \"dump\"` with `file = \"app.dump\"`, `kind = \"backup\"` or `kind = \"data\"` with `path = \"base\"`, `kind = \"image\"` with `image = \"…\"`, `kind = \"volume\"` with `volume = \"…\"`, or `kind = \"hooks\"` with `provision` and `teardown`";

/// Where a snapshot's data comes from; paths are relative to its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// SQL files that make the data, in this order.
    Generator {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// What `pg_dump` wrote, in any of its formats.
    Dump {
        /// The file, or the folder of the directory format.
        file: PathBuf,
        /// Tables whose rows are in files of their own.
        filtered: Vec<Filtered>,
    },
    /// Programs of the user's make a server that holds it, and end that server.
    Hooks(Hooks),
    /// A base backup or a data folder: a folder, or the archives of `pg_basebackup --format=tar`.
    Physical {
        /// The folder or the archive.
        path: PathBuf,
        /// A folder of archived WAL, where the backup does not bring its own.
        wal: Option<PathBuf>,
    },
    /// A data folder in a container image.
    Image {
        /// The image.
        image: String,
        /// The folder in it; None: what the image calls its data folder.
        path: Option<String>,
    },
    /// A data folder in a volume of the container engine.
    Volume {
        /// The volume.
        volume: String,
        /// The folder in it.
        path: String,
    },
}

impl Source {
    /// Whether it is another server's data folder, with its bloat and statistics.
    pub fn is_physical(&self) -> bool {
        matches!(
            self,
            Self::Physical { .. } | Self::Image { .. } | Self::Volume { .. }
        )
    }

    pub(super) fn parse(keys: &Keys<'_>) -> Result<Self, Defect> {
        match keys.string("kind")?.as_deref() {
            Some("generator") => {
                keys.only(&["kind", "files"])?;
                let files = keys.strings("files")?.unwrap_or_default();
                if files.is_empty() {
                    return Err(Defect::new("`source.files` names no file").help(SOURCE_HELP));
                }
                Ok(Self::Generator {
                    files: files.into_iter().map(PathBuf::from).collect(),
                })
            }
            Some("dump") => {
                keys.only(&["kind", "file", "filtered"])?;
                let file = keys
                    .string("file")?
                    .ok_or_else(|| Defect::new("`source.file` is missing").help(SOURCE_HELP))?;
                Ok(Self::Dump {
                    file: not_empty("source.file", file)?.into(),
                    filtered: filtered(keys.tables("filtered")?)?,
                })
            }
            Some("hooks") => hooks::parse(keys).map(Self::Hooks),
            Some("backup" | "data") => {
                keys.only(&["kind", "path", "wal"])?;
                Ok(Self::Physical {
                    path: required(keys, "path")?.into(),
                    wal: optional(keys, "wal")?.map(PathBuf::from),
                })
            }
            Some("image") => {
                keys.only(&["kind", "image", "path"])?;
                Ok(Self::Image {
                    image: required(keys, "image")?,
                    path: optional(keys, "path")?,
                })
            }
            Some("volume") => {
                keys.only(&["kind", "volume", "path"])?;
                Ok(Self::Volume {
                    volume: required(keys, "volume")?,
                    path: optional(keys, "path")?.unwrap_or_else(|| ".".to_owned()),
                })
            }
            Some(other) => Err(Defect::new(format!(
                "`source.kind` is `{other}`, and it is one of `generator`, `dump`, `backup`, `data`, `image`, `volume`, `hooks`"
            ))
            .help(SOURCE_HELP)),
            None => Err(Defect::new("`source.kind` is missing").help(SOURCE_HELP)),
        }
    }
}

fn filtered(parts: Vec<Keys<'_>>) -> Result<Vec<Filtered>, Defect> {
    let needed = |keys: &Keys<'_>, key: &str| {
        keys.string(key)?
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| Defect::new(format!("`source.filtered` has a part without `{key}`")))
    };
    parts
        .iter()
        .map(|keys| {
            keys.only(&["table", "file", "where", "columns"])?;
            Ok(Filtered {
                table: needed(keys, "table")?,
                file: needed(keys, "file")?.into(),
                columns: keys.strings("columns")?.unwrap_or_default(),
                condition: needed(keys, "where")?,
            })
        })
        .collect()
}

fn required(keys: &Keys<'_>, key: &str) -> Result<String, Defect> {
    optional(keys, key)?
        .ok_or_else(|| Defect::new(format!("`source.{key}` is missing")).help(SOURCE_HELP))
}

fn optional(keys: &Keys<'_>, key: &str) -> Result<Option<String>, Defect> {
    keys.string(key)?
        .map(|text| not_empty(&keys.full(key), text))
        .transpose()
}
