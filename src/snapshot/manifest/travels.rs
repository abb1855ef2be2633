//! What of production travels with a snapshot beside its data: settings, roles, which tables are not
//! whole, how old it may be. Read from `snapshot.toml` and the files that it names beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use toml::Value;

use super::{Defect, Keys, kind};
use crate::config::carried::{Fate, Written, fate};
use crate::config::conf;
use crate::config::units::{self, Unfit};
use crate::snapshot::globals::{self, Role};
use crate::stage::whole;
use crate::{Error, Result};

/// The keys of `snapshot.toml` that are read here.
pub(super) const KEYS: [&str; 8] = [
    "settings",
    "database_settings",
    "roles",
    "globals",
    "owner",
    "role",
    "partial",
    "max_age",
];

/// What travels beside the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Travels {
    /// Server settings of production, by name in lower case.
    pub settings: BTreeMap<String, String>,
    /// Settings of the database, as by ALTER DATABASE … SET.
    pub database_settings: BTreeMap<String, String>,
    /// Roles that the stage has, by name.
    pub roles: BTreeMap<String, Role>,
    /// The owner of the database; None: the one that the dump names, else the superuser.
    pub owner: Option<String>,
    /// The role that the migration runs as; None: the superuser.
    pub role: Option<String>,
    /// Tables that are not whole.
    pub partial: Vec<Partial>,
    /// The oldest that it may be; None: there is no limit.
    pub max_age: Option<Duration>,
    /// What was named and stays behind, for a note: names, never values.
    pub left_out: BTreeSet<String>,
    /// Files that some of it is read from, relative to the snapshot's folder.
    settings_file: Option<String>,
    globals_file: Option<String>,
}

/// A table that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// Its name.
    pub table: String,
    /// Which of its rows are there; None: none at all.
    pub rows: Option<String>,
}

impl Travels {
    /// The files that it is read from, relative to the snapshot's folder.
    pub(super) fn files(&self) -> impl Iterator<Item = &std::path::Path> {
        let named = [&self.settings_file, &self.globals_file].into_iter();
        named.flatten().map(std::path::Path::new)
    }

    pub(super) fn parse(top: &Keys<'_>) -> Result<Self, Defect> {
        let mut travels = Self {
            owner: top.string("owner")?,
            role: top.string("role")?,
            globals_file: top.string("globals")?,
            ..Self::default()
        };
        match top.table.get("settings") {
            Some(Value::String(file)) => travels.settings_file = Some(file.clone()),
            Some(Value::Table(_)) | None => {
                let table = top.table("settings")?;
                travels.settings = travels.settings_of(table, "settings")?;
            }
            Some(other) => {
                return Err(top.wrong(
                    "settings",
                    other,
                    "a table, or the name of a file beside this one",
                ));
            }
        }
        let table = top.table("database_settings")?;
        travels.database_settings = travels.settings_of(table, "database_settings")?;
        if let Some(roles) = top.table("roles")? {
            for name in roles.table.keys() {
                let role = travels.role_of(&roles, name)?;
                travels.roles.insert(name.clone(), role);
            }
        }
        travels.partial = partial(top)?;
        if let Some(text) = top.string("max_age")? {
            let age = units::max_age(&text).map_err(|unfit| defect("max_age", unfit))?;
            travels.max_age = Some(age);
        }
        for (key, name) in [("role", &travels.role), ("owner", &travels.owner)] {
            if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
                return Err(Defect::new(format!("`{key}` is empty")));
            }
        }
        Ok(travels)
    }

    /// Reads the files; what snapshot.toml itself says of a role wins over them.
    pub(super) fn read_files(&mut self, folder: &Path) -> Result<()> {
        if let Some(name) = self.settings_file.clone() {
            let text = read(folder, &name, "settings")?;
            let entries = conf::parse(&text).map_err(|unfit| in_file(folder, &name, unfit))?;
            for entry in entries {
                let decided = fate(&entry.name, &entry.value, Written::InProduction);
                let decided = decided.map_err(|unfit| {
                    let message =
                        format!("line {}: `{}` {}", entry.line, entry.name, unfit.message);
                    in_file(folder, &name, Unfit::new(message, unfit.help))
                })?;
                match decided {
                    // Of a name that is there twice the last one counts, as for the server.
                    Fate::Carried => drop(self.settings.insert(entry.name, entry.value)),
                    Fate::LeftOut => drop(self.left_out.insert(format!("`{}`", entry.name))),
                }
            }
        }
        if let Some(name) = self.globals_file.clone() {
            let text = read(folder, &name, "globals")?;
            let found = globals::parse(&text).map_err(|unfit| in_file(folder, &name, unfit))?;
            self.left_out.extend(found.left_out);
            for (name, role) in found.roles {
                let own = self.roles.entry(name).or_default();
                let typed = std::mem::replace(own, role);
                own.member_of.extend(typed.member_of);
                own.settings.extend(typed.settings);
            }
        }
        Ok(())
    }

    /// A note on what stays behind; None: nothing does.
    pub fn left_out_note(&self) -> Option<String> {
        let names: Vec<&str> = self.left_out.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| {
            format!(
                "left out of what travels with the snapshot, since a stage has no use for it: {}",
                names.join(", ")
            )
        })
    }

    fn settings_of(
        &mut self,
        table: Option<Keys<'_>>,
        path: &str,
    ) -> Result<BTreeMap<String, String>, Defect> {
        let mut settings = BTreeMap::new();
        for (name, value) in table.iter().flat_map(|keys| keys.table) {
            let full = format!("{path}.{name}");
            let text = match value {
                Value::Boolean(on) => if *on { "on" } else { "off" }.to_owned(),
                Value::Float(number) => number.to_string(),
                other => units::scalar(other).ok_or_else(|| {
                    Defect::new(format!(
                        "`{full}` is {}, and a setting is a string or a number",
                        kind(other)
                    ))
                })?,
            };
            let decided = fate(name, &text, Written::ForTheStage);
            match decided.map_err(|unfit| defect(&full, unfit))? {
                Fate::Carried => drop(settings.insert(name.to_ascii_lowercase(), text)),
                Fate::LeftOut => drop(self.left_out.insert(format!("`{name}`"))),
            }
        }
        Ok(settings)
    }

    fn role_of(&mut self, roles: &Keys<'_>, name: &str) -> Result<Role, Defect> {
        let path = format!("roles.{name}");
        let Some(Value::Table(table)) = roles.table.get(name) else {
            return Err(Defect::new(format!("`{path}` has to be a table"))
                .help("write it as `[roles.NAME]` with `settings` and `member_of`"));
        };
        let keys = Keys::new(&path, table);
        keys.only(&["settings", "member_of"])?;
        Ok(Role {
            settings: self.settings_of(keys.table("settings")?, &format!("{path}.settings"))?,
            member_of: keys
                .strings("member_of")?
                .unwrap_or_default()
                .into_iter()
                .collect(),
            ..Role::default()
        })
    }
}

/// `partial`: an array of tables with `table` and either `excluded = true` or `where = "…"`.
fn partial(top: &Keys<'_>) -> Result<Vec<Partial>, Defect> {
    const HELP: &str = "write `partial = [{ table = \"audit\", excluded = true }, { table = \"events\", where = \"…\" }]`";
    let entries = match top.table.get("partial") {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(top.wrong("partial", other, "an array of tables").help(HELP)),
    };
    let mut partial = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("partial[{index}]");
        let Value::Table(table) = entry else {
            return Err(Defect::new(format!("`{path}` has to be a table")).help(HELP));
        };
        let keys = Keys::new(&path, table);
        keys.only(&["table", "excluded", "where"])?;
        let table = keys.string("table")?.filter(|name| !name.trim().is_empty());
        let table =
            table.ok_or_else(|| Defect::new(format!("`{path}.table` is missing")).help(HELP))?;
        let rows = match (keys.boolean("excluded")?, keys.string("where")?) {
            (Some(true), None) => None,
            (None | Some(false), Some(rows)) => Some(rows),
            _ => {
                return Err(Defect::new(format!(
                    "`{path}` has to have either `excluded = true` or `where`"
                ))
                .help(HELP));
            }
        };
        partial.push(Partial { table, rows });
    }
    partial.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(partial)
}

fn defect(key: &str, unfit: Unfit) -> Defect {
    Defect::new(format!("`{key}` {}", unfit.message)).help(unfit.help)
}

fn in_file(folder: &Path, name: &str, unfit: Unfit) -> Error {
    Error::usage(format!(
        "`{}` {}",
        folder.join(name).display(),
        unfit.message
    ))
    .help(unfit.help)
}

fn read(folder: &Path, name: &str, key: &str) -> Result<String> {
    let path = folder.join(name);
    whole::text(&path, whole::LIST).map_err(|error| {
        Error::usage(format!(
            "cannot read `{}`, which `{key}` of the snapshot names",
            path.display()
        ))
        .because(error)
        .help("the name is relative to the folder of `snapshot.toml`")
    })
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;

    const BASE: &str = "name='a'\nsource={kind='dump',file='a'}\n";

    fn loaded(toml: &str, files: &[(&str, &str)]) -> std::result::Result<Travels, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("snapshot.toml", format!("{BASE}{toml}").as_str())]
            .iter()
            .chain(files)
        {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        match Manifest::load(folder.path()) {
            Ok((manifest, _)) => Ok(manifest.travels),
            Err(error) => Err(error.story()),
        }
    }

    #[test]
    fn a_fragment_is_sanitised_and_what_stays_behind_is_named() {
        let travels = loaded(
            "settings='pg.conf'",
            &[(
                "pg.conf",
                "work_mem = 4MB\nTimeZone = 'Europe/Berlin'\nport = 5433\n\
                 archive_command = 'cp %p /secret'\nwork_mem = 64MB\n",
            )],
        )
        .expect("valid");
        assert_eq!(travels.settings["work_mem"], "64MB");
        assert_eq!(travels.settings["timezone"], "Europe/Berlin");
        assert_eq!(travels.settings.len(), 2);
        let note = travels.left_out_note().expect("a note");
        assert!(note.contains("`archive_command`, `port`") && !note.contains("secret"));
    }

    #[test]
    fn a_table_is_what_somebody_wants_for_the_stage() {
        let travels = loaded(
            "[settings]\nwork_mem='64MB'\njit=false\nshared_preload_libraries='auto_explain'\n\
             [database_settings]\nTimeZone='UTC'\n\
             [roles.app]\nsettings={lock_timeout='2s'}\nmember_of=['admins']\n",
            &[],
        )
        .expect("valid");
        assert_eq!(travels.settings["jit"], "off");
        assert_eq!(travels.settings["shared_preload_libraries"], "auto_explain");
        assert_eq!(travels.database_settings["timezone"], "UTC");
        assert_eq!(travels.roles["app"].settings["lock_timeout"], "2s");
        assert!(travels.roles["app"].member_of.contains("admins"));
    }

    #[test]
    fn a_globals_file_gives_roles_that_snapshot_toml_may_change() {
        let travels = loaded(
            "globals='g.sql'\nrole='app'\n[roles.app]\nsettings={lock_timeout='9s'}\n",
            &[(
                "g.sql",
                "CREATE ROLE app;\nALTER ROLE app WITH NOINHERIT LOGIN PASSWORD 'x';\n\
                 ALTER ROLE app SET lock_timeout TO '2s';\nALTER ROLE app SET work_mem TO '1MB';\n",
            )],
        )
        .expect("valid");
        let app = &travels.roles["app"];
        assert_eq!(app.settings["lock_timeout"], "9s");
        assert_eq!(app.settings["work_mem"], "1MB");
        assert!(app.attributes.contains("NOINHERIT"));
        assert_eq!(travels.role.as_deref(), Some("app"));
    }

    #[test]
    fn partial_tables_and_the_age_limit_are_read() {
        let travels = loaded(
            "max_age='30d'\npartial=[{table='events',where='id > 5'},{table='audit',excluded=true}]",
            &[],
        )
        .expect("valid");
        let tables: Vec<_> = travels
            .partial
            .iter()
            .map(|partial| (partial.table.as_str(), partial.rows.as_deref()))
            .collect();
        assert_eq!(tables, [("audit", None), ("events", Some("id > 5"))]);
        assert_eq!(travels.max_age, Some(Duration::from_secs(30 * 86_400)));
    }

    #[test]
    fn each_defect_names_its_key() {
        for (toml, files, words) in [
            ("settings=1", vec![], "`settings` is an integer"),
            (
                "settings='pg.conf'",
                vec![],
                "which `settings` of the snapshot names",
            ),
            (
                "settings='pg.conf'",
                vec![("pg.conf", "work_mem=1MB\nfsync = off")],
                "pg.conf` line 2: `fsync` cannot be off",
            ),
            (
                "settings='pg.conf'",
                vec![("pg.conf", "include 'x'")],
                "`include` on line 1",
            ),
            (
                "settings={fsync=false}",
                vec![],
                "`settings.fsync` cannot be off",
            ),
            (
                "settings={port=1}",
                vec![],
                "`settings.port` is decided by the stage",
            ),
            (
                "settings={work_mem=[]}",
                vec![],
                "`settings.work_mem` is an array",
            ),
            ("roles={a=1}", vec![], "`roles.a` has to be a table"),
            (
                "roles={a={setings={}}}",
                vec![],
                "did you mean `roles.a.settings`?",
            ),
            ("globals='g'", vec![("g", "SET x TO 'open")], "is no SQL"),
            ("role=' '", vec![], "`role` is empty"),
            ("max_age='30'", vec![], "`max_age` has no unit"),
            ("partial={}", vec![], "`partial` is a table"),
            ("partial=[1]", vec![], "`partial[0]` has to be a table"),
            (
                "partial=[{excluded=true}]",
                vec![],
                "`partial[0].table` is missing",
            ),
            (
                "partial=[{table='a'}]",
                vec![],
                "either `excluded = true` or `where`",
            ),
            (
                "partial=[{table='a',excluded=true,where='x'}]",
                vec![],
                "either `excluded = true` or `where`",
            ),
            (
                "partial=[{table='a',rows='x'}]",
                vec![],
                "unknown key `partial[0].rows`",
            ),
        ] {
            let story = loaded(toml, &files).expect_err(toml);
            assert!(story.contains(words), "{toml}: {story}");
        }
    }
}
