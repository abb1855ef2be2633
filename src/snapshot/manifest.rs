//! `snapshot.toml`: what a snapshot says of itself, every key known and every value typed.

mod keys;
mod source;
mod travels;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use toml::{Table, Value};

pub(super) use self::keys::{Defect, Keys};
use self::keys::{kind, not_empty};
use self::source::SOURCE_HELP;
pub use self::source::Source;
pub use self::travels::{Partial, Travels};
use crate::config::vars::is_name;
use crate::stage::external::Taken;
use crate::stage::whole;
use crate::{Error, Result, redact};

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
    /// What is known of that server; None: nothing.
    pub taken_from: Option<Taken>,
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
        let text = whole::text(&file, whole::DESCRIPTION).map_err(|error| {
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
        redact::learn(&text);
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

    /// What it names, relative to its folder: files, and folders that are read as a whole.
    pub fn files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = self.checksums.as_deref().into_iter().collect();
        match &self.source {
            Source::Generator { files: own } => files.extend(own.iter().map(PathBuf::as_path)),
            Source::Dump { file, filtered } => {
                files.push(file);
                files.extend(filtered.iter().map(|part| part.file.as_path()));
            }
            Source::Physical { path, wal } => {
                files.push(path);
                files.extend(wal.as_deref());
            }
            Source::Hooks(_) | Source::Image { .. } | Source::Volume { .. } => {}
        }
        files.extend(self.travels.files());
        files
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
            "taken_from",
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
        let source = Source::parse(&source)?;
        let restore = top.table("restore")?;
        let name = top
            .string("name")?
            .ok_or_else(|| Defect::new("the key `name` is missing"))?;
        Ok(Self {
            name: not_empty("name", name)?,
            description: top.string("description")?,
            taken_at: top.timestamp("taken_at")?,
            server_version: top.number("server_version", 12, 99)?,
            taken_from: top
                .table("taken_from")?
                .map(|keys| parse_taken_from(&keys))
                .transpose()?,
            database: match top.string("database")? {
                Some(database) => not_empty("database", database)?,
                None if source.is_physical() => {
                    return Err(Defect::new("the key `database` is missing").help(
                        "a physical copy holds all databases of its server: name the one that the migration is for",
                    ));
                }
                None => "lockproof".to_owned(),
            },
            checksums: top.string("checksums")?.map(PathBuf::from),
            source,
            variables: parse_variables(top.table("variables")?)?,
            restore: restore.map_or(Ok(Restore::default()), |restore| parse_restore(&restore))?,
            travels: Travels::parse(&top)?,
        })
    }
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

/// What `snapshot create` noted of its source, so that nothing is replayed there.
fn parse_taken_from(keys: &Keys<'_>) -> Result<Taken, Defect> {
    keys.only(&["system_identifier", "addresses"])?;
    let identifier = match keys.string("system_identifier")? {
        Some(text) => Some(text.parse().map_err(|_| {
            Defect::new("`taken_from.system_identifier` is not a number in quotes")
        })?),
        None => None,
    };
    Ok(Taken {
        identifier,
        addresses: keys.strings("addresses")?.unwrap_or_default(),
    })
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
