//! `snapshot.toml`: what a snapshot says of itself, every key known and every value typed.

mod travels;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use toml::{Table, Value};

use super::filtered::Filtered;
use super::hooks;
use crate::config::suggest::nearest;
use crate::config::vars::is_name;
use crate::stage::hooked::Hooks;
use crate::{Error, Result};
pub use travels::{Partial, Travels};

/// The name of the description in a snapshot's folder.
pub const FILE_NAME: &str = "snapshot.toml";

/// A snapshot's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What reports call it.
    pub name: String,
    /// A sentence for people.
    pub description: Option<String>,
    /// When the data was taken; None: the description does not say.
    pub taken_at: Option<Timestamp>,
    /// The major of the server that the data was taken from; None: any will do.
    pub server_version: Option<u32>,
    /// The database that is restored.
    pub database: String,
    /// What `sha256sum` said of its files; None: they are taken as they are.
    pub checksums: Option<PathBuf>,
    /// Where the data comes from.
    pub source: Source,
    /// Variables of generators, with the values that they have unless asked otherwise.
    pub variables: BTreeMap<String, String>,
    /// How it is restored.
    pub restore: Restore,
    /// What of production comes with it beside its data.
    pub travels: Travels,
}

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
}

/// How a snapshot is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// Parallel jobs, where the format allows them; None: one for each core.
    pub jobs: Option<u32>,
    /// True: `VACUUM (ANALYZE)` at the end, as on a server long in use.
    pub analyze: bool,
    /// True: everything is read once before a run, as on a server long in use.
    pub warm: bool,
    /// False: owners and privileges of an archive are left out.
    pub owners: bool,
    /// Parts of errors that do not fail the restore.
    pub tolerate: Vec<String>,
}

impl Default for Restore {
    fn default() -> Self {
        Self {
            jobs: None,
            analyze: true,
            warm: false,
            owners: true,
            tolerate: Vec::new(),
        }
    }
}

impl Manifest {
    /// Reads a description: the file itself, or `snapshot.toml` in the folder. Also its folder.
    pub fn load(path: &Path) -> Result<(Self, PathBuf)> {
        let file = if path.is_dir() {
            path.join(FILE_NAME)
        } else {
            path.to_owned()
        };
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let problem = Error::usage(format!(
                "cannot read the snapshot description `{}`",
                file.display()
            ));
            match error.kind() {
                std::io::ErrorKind::NotFound => problem.because(error).help(format!(
                    "a snapshot is a folder with a `{FILE_NAME}` in it; `--snapshot` names it"
                )),
                _ => problem.because(error),
            }
        })?;
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut manifest = Self::parse(&text).map_err(|defect| {
            let error = Error::usage(format!("`{}`: {}", file.display(), defect.message));
            match defect.help {
                Some(help) => error.help(help),
                None => error,
            }
        })?;
        manifest.travels.read_files(&folder)?;
        Ok((manifest, folder))
    }

    fn parse(text: &str) -> Result<Self, Defect> {
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| Defect::new(error.to_string().trim_end()))?;
        let top = Keys::new("", &table);
        let own = [
            "name",
            "description",
            "taken_at",
            "server_version",
            "database",
            "checksums",
            "partial",
            "source",
            "variables",
            "restore",
        ];
        top.only(&[&own[..], &travels::KEYS].concat())?;
        let source = top
            .table("source")?
            .ok_or_else(|| Defect::new("the table `[source]` is missing").help(SOURCE_HELP))?;
        let kept = parse_source(&source)?;
        let restore = top.table("restore")?;
        let name = top
            .string("name")?
            .ok_or_else(|| Defect::new("the key `name` is missing"))?;
        Ok(Self {
            name: not_empty("name", name)?,
            description: top.string("description")?,
            taken_at: top.timestamp("taken_at")?,
            server_version: top.number("server_version", 12, 99)?,
            database: match top.string("database")? {
                Some(database) => not_empty("database", database)?,
                None if kept.is_physical() => {
                    return Err(Defect::new("the key `database` is missing").help(
                        "a physical copy holds all databases of its server: name the one that the migration is for",
                    ));
                }
                None => "lockproof".to_owned(),
            },
            checksums: top.string("checksums")?.map(PathBuf::from),
            source: kept,
            variables: parse_variables(top.table("variables")?)?,
            restore: restore.map_or(Ok(Restore::default()), |restore| parse_restore(&restore))?,
            travels: Travels::parse(&top)?,
        })
    }
}

const SOURCE_HELP: &str = "write `kind = \"generator\"` with `files = [\"generate.sql\"]`, `kind = \"dump\"` with `file = \"app.dump\"`, `kind = \"backup\"` or `kind = \"data\"` with `path = \"base\"`, `kind = \"image\"` with `image = \"…\"`, `kind = \"volume\"` with `volume = \"…\"`, or `kind = \"hooks\"` with `provision` and `teardown`";

fn parse_source(keys: &Keys<'_>) -> Result<Source, Defect> {
    match keys.string("kind")?.as_deref() {
        Some("generator") => {
            keys.only(&["kind", "files"])?;
            let files = keys.strings("files")?.unwrap_or_default();
            if files.is_empty() {
                return Err(Defect::new("`source.files` names no file").help(SOURCE_HELP));
            }
            Ok(Source::Generator {
                files: files.into_iter().map(PathBuf::from).collect(),
            })
        }
        Some("dump") => {
            keys.only(&["kind", "file", "filtered"])?;
            let file = keys
                .string("file")?
                .ok_or_else(|| Defect::new("`source.file` is missing").help(SOURCE_HELP))?;
            Ok(Source::Dump {
                file: not_empty("source.file", file)?.into(),
                filtered: parse_filtered(keys.tables("filtered")?)?,
            })
        }
        Some("hooks") => hooks::parse(keys).map(Source::Hooks),
        Some("backup" | "data") => {
            keys.only(&["kind", "path", "wal"])?;
            Ok(Source::Physical {
                path: required(keys, "path")?.into(),
                wal: optional(keys, "wal")?.map(PathBuf::from),
            })
        }
        Some("image") => {
            keys.only(&["kind", "image", "path"])?;
            Ok(Source::Image {
                image: required(keys, "image")?,
                path: optional(keys, "path")?,
            })
        }
        Some("volume") => {
            keys.only(&["kind", "volume", "path"])?;
            Ok(Source::Volume {
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

fn parse_filtered(parts: Vec<Keys<'_>>) -> Result<Vec<Filtered>, Defect> {
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

fn parse_variables(keys: Option<Keys<'_>>) -> Result<BTreeMap<String, String>, Defect> {
    let mut variables = BTreeMap::new();
    for (name, value) in keys.iter().flat_map(|keys| keys.table) {
        if !is_name(name) {
            return Err(
                Defect::new(format!("`variables.{name}` is not a valid name"))
                    .help("a name has letters, digits and `_`, and no digit first"),
            );
        }
        let text = match value {
            Value::Integer(number) => number.to_string(),
            Value::String(text) => text.clone(),
            other => {
                return Err(Defect::new(format!(
                    "`variables.{name}` is {}, and a variable is an integer or a string",
                    kind(other)
                )));
            }
        };
        variables.insert(name.clone(), text);
    }
    Ok(variables)
}

fn parse_restore(keys: &Keys<'_>) -> Result<Restore, Defect> {
    keys.only(&["jobs", "analyze", "warm", "owners", "tolerate"])?;
    let default = Restore::default();
    let tolerate = keys.strings("tolerate")?.unwrap_or_default();
    if tolerate.iter().any(|part| part.trim().is_empty()) {
        return Err(Defect::new(
            "`restore.tolerate` has an empty part, which every error contains",
        ));
    }
    Ok(Restore {
        jobs: keys.number("jobs", 1, 256)?,
        analyze: keys.boolean("analyze")?.unwrap_or(default.analyze),
        warm: keys.boolean("warm")?.unwrap_or(default.warm),
        owners: keys.boolean("owners")?.unwrap_or(default.owners),
        tolerate,
    })
}

/// What is wrong with a description, before it is known which file it is.
#[derive(Debug)]
pub(super) struct Defect {
    message: String,
    help: Option<String>,
}

impl Defect {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A table and its path, so that each complaint names the whole key.
pub(super) struct Keys<'a> {
    path: &'a str,
    table: &'a Table,
}

impl<'a> Keys<'a> {
    fn new(path: &'a str, table: &'a Table) -> Self {
        Self { path, table }
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(super) fn only(&self, known: &[&str]) -> Result<(), Defect> {
        for key in self.table.keys() {
            if !known.contains(&key.as_str()) {
                let defect = Defect::new(format!("unknown key `{}`", self.full(key)));
                return Err(match nearest(key, known.iter().copied()) {
                    Some(meant) => defect.help(format!("did you mean `{}`?", self.full(meant))),
                    None => defect.help(format!("known here: `{}`", known.join("`, `"))),
                });
            }
        }
        Ok(())
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str) -> Defect {
        Defect::new(format!(
            "`{}` is {}, and it has to be {wanted}",
            self.full(key),
            kind(value)
        ))
    }

    fn table(&self, key: &'a str) -> Result<Option<Keys<'a>>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Keys::new(key, table))),
            Some(other) => Err(self.wrong(key, other, "a table")),
        }
    }

    /// An array of tables, whichever way it is written.
    fn tables(&self, key: &'a str) -> Result<Vec<Keys<'a>>, Defect> {
        let Some(value) = self.table.get(key) else {
            return Ok(Vec::new());
        };
        let tables = value.as_array().and_then(|values| {
            values
                .iter()
                .map(|value| value.as_table().map(|table| Keys::new(key, table)))
                .collect::<Option<Vec<_>>>()
        });
        tables.ok_or_else(|| self.wrong(key, value, "an array of tables"))
    }

    /// A table of strings; empty where there is none.
    pub(super) fn texts(&self, key: &'a str) -> Result<BTreeMap<String, String>, Defect> {
        let Some(keys) = self.table(key)? else {
            return Ok(BTreeMap::new());
        };
        keys.table
            .keys()
            .map(|name| Ok((name.clone(), keys.string(name)?.unwrap_or_default())))
            .collect()
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<String>>, Defect> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let strings = value.as_array().and_then(|values| {
            values
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect::<Option<Vec<String>>>()
        });
        match strings {
            Some(strings) => Ok(Some(strings)),
            None => Err(self.wrong(key, value, "an array of strings")),
        }
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(key, other, "`true` or `false`")),
        }
    }

    fn number(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>, Defect> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => u32::try_from(*number)
                .ok()
                .filter(|number| (least..=most).contains(number))
                .map(Some)
                .ok_or_else(|| {
                    Defect::new(format!(
                        "`{}` is {number}, and it has to be from {least} to {most}",
                        self.full(key)
                    ))
                }),
            Some(other) => Err(self.wrong(key, other, "an integer")),
        }
    }

    /// A string or TOML's own date with time and offset.
    fn timestamp(&self, key: &str) -> Result<Option<Timestamp>, Defect> {
        let text = match self.table.get(key) {
            None => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Datetime(date)) => date.to_string(),
            Some(other) => return Err(self.wrong(key, other, "a point in time")),
        };
        text.parse().map(Some).map_err(|_| {
            Defect::new(format!(
                "`{}` is `{text}`, and it has to be a point in time",
                self.full(key)
            ))
            .help("write it as `2026-11-01T00:00:00Z`")
        })
    }
}

fn not_empty(key: &str, text: String) -> Result<String, Defect> {
    if text.trim().is_empty() {
        return Err(Defect::new(format!("`{key}` is empty")));
    }
    Ok(text)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "a truth value",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
name = "listings"
description = "a marketplace"
taken_at = "2026-11-01T00:00:00Z"
server_version = 15
database = "app"
[source]
kind = "generator"
files = ["generate.sql"]
[variables]
rows = 1_000_000
region = "eu"
[restore]
jobs = 2
analyze = false
warm = true
owners = false
tolerate = ["role \"x\" does not exist"]
"#;

    #[test]
    fn every_key_is_read() {
        let manifest = Manifest::parse(FULL).expect("valid");
        assert_eq!(manifest.name, "listings");
        assert_eq!(manifest.server_version, Some(15));
        assert_eq!(manifest.database, "app");
        assert_eq!(manifest.variables["rows"], "1000000");
        assert_eq!(manifest.variables["region"], "eu");
        assert_eq!(manifest.restore.jobs, Some(2));
        assert!(!manifest.restore.analyze && manifest.restore.warm && !manifest.restore.owners);
        assert_eq!(
            manifest.taken_at.map(|at| at.to_string()).as_deref(),
            Some("2026-11-01T00:00:00Z")
        );
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let manifest =
            Manifest::parse("name='a'\nsource={kind='dump',file='a.dump'}").expect("valid");
        assert_eq!(manifest.database, "lockproof");
        assert_eq!(manifest.restore, Restore::default());
        assert_eq!(manifest.taken_at, None);
        let own = Manifest::parse(
            "name='a'\ntaken_at=2026-11-01T00:00:00+01:00\nsource={kind='dump',file='a'}",
        );
        assert!(own.expect("TOML's own date").taken_at.is_some());
    }

    #[test]
    fn each_defect_names_its_key_and_the_way_out() {
        let base = "name='a'\nsource={kind='dump',file='a'}\n";
        for (text, message, help) in [
            (
                format!("{base}[restore]\nanalyse=true"),
                "unknown key `restore.analyse`",
                Some("did you mean `restore.analyze`?"),
            ),
            (
                format!("{base}zzz=1"),
                "unknown key `zzz`",
                Some("known here: `name`"),
            ),
            (
                "name='a'\nsource={kind='dump',files=['a']}".into(),
                "unknown key `source.files`",
                Some("did you mean `source.file`?"),
            ),
            (
                "name='a'\nsource={kind='tape'}".into(),
                "`source.kind` is `tape`",
                Some("generator"),
            ),
            ("name='a'".into(), "`[source]` is missing", Some("kind")),
            (
                "source={kind='dump',file='a'}".into(),
                "`name` is missing",
                None,
            ),
            (
                "name=' '\nsource={kind='dump',file='a'}".into(),
                "`name` is empty",
                None,
            ),
            (
                format!("{base}[restore]\njobs=0"),
                "`restore.jobs` is 0, and it has to be from 1 to 256",
                None,
            ),
            (
                format!("{base}[restore]\nwarm='yes'"),
                "`restore.warm` is a string, and it has to be `true` or `false`",
                None,
            ),
            (
                format!("{base}[restore]\ntolerate=['']"),
                "`restore.tolerate` has an empty part",
                None,
            ),
            (
                format!("taken_at='yesterday'\n{base}"),
                "`taken_at` is `yesterday`",
                Some("2026-11-01T00:00:00Z"),
            ),
            (
                format!("server_version=9\n{base}"),
                "`server_version` is 9",
                None,
            ),
            (
                format!("{base}[variables]\nrows=1.5"),
                "`variables.rows` is a fraction",
                None,
            ),
            (
                format!("{base}[variables]\n'a-b'=1"),
                "`variables.a-b` is not a valid name",
                Some("letters"),
            ),
            ("name = ".into(), "TOML parse error at line 1", None),
        ] {
            let defect = Manifest::parse(&text).expect_err(message);
            assert!(defect.message.contains(message), "{}", defect.message);
            if let Some(help) = help {
                let said = defect.help.unwrap_or_default();
                assert!(said.contains(help), "{said}");
            }
        }
    }
}
