//! libpq's service file: `[name]`, and below it `key=value` a line.

use std::path::{Path, PathBuf};

use super::Around;
use super::parameters::{Given, Origin};
use crate::stage::whole;
use crate::{Error, Result};

/// Where packages of PostgreSQL look when `PGSYSCONFDIR` says nothing: Debian's, those of
/// postgresql.org for Red Hat, and a build from source.
const SYSTEM: [&str; 3] = [
    "/etc/postgresql-common",
    "/etc/sysconfig/pgsql",
    "/usr/local/pgsql/etc",
];

/// Takes what the service says, where nobody said anything.
pub(super) fn add(given: &mut Given, service: &str, around: &Around<'_>) -> Result<()> {
    let (own, system) = files(given, around);
    let mut looked = Vec::new();
    if let Some((file, must)) = own {
        if (must == Must::BeThere || file.is_file()) && read(given, &file, service)? {
            return Ok(());
        }
        looked.push(file);
    }
    for file in system {
        if file.is_file() && read(given, &file, service)? {
            return Ok(());
        }
        looked.push(file);
    }
    let looked: Vec<String> = looked
        .iter()
        .map(|file| format!("`{}`", file.display()))
        .collect();
    Err(Error::usage(format!("there is no service `{service}`"))
        .details([format!("looked in {}", looked.join(", "))])
        .help(format!(
            "write `[{service}]` with `host=…`, `dbname=…` into one of them, or name the file in `PGSERVICEFILE`"
        )))
}

#[derive(PartialEq, Eq)]
enum Must {
    BeThere,
    Nothing,
}

/// Every file that is looked into.
pub(super) fn all(given: &Given, around: &Around<'_>) -> Vec<PathBuf> {
    let (own, system) = files(given, around);
    own.map(|(file, _)| file)
        .into_iter()
        .chain(system)
        .collect()
}

/// The user's file, and those of the machine.
fn files(given: &Given, around: &Around<'_>) -> (Option<(PathBuf, Must)>, Vec<PathBuf>) {
    let named = given
        .get("servicefile")
        .map(str::to_owned)
        .or_else(|| (around.variable)("PGSERVICEFILE"));
    let own = match named {
        Some(file) => Some((PathBuf::from(file), Must::BeThere)),
        None => around
            .at_home(".pg_service.conf")
            .map(|file| (file, Must::Nothing)),
    };
    let folders = match (around.variable)("PGSYSCONFDIR") {
        Some(folder) => vec![folder],
        None => SYSTEM.map(str::to_owned).to_vec(),
    };
    let system = folders
        .iter()
        .map(|folder| Path::new(folder).join("pg_service.conf"))
        .collect();
    (own, system)
}

/// Whether the file has the service.
fn read(given: &mut Given, file: &Path, service: &str) -> Result<bool> {
    let bytes = whole::bytes(file, whole::DESCRIPTION).map_err(|error| {
        Error::usage(format!("cannot read the service file `{}`", file.display()))
            .because(error)
            .help("name another one in `PGSERVICEFILE`, or connect without `service`")
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let origin = Origin::Service {
            file: file.to_owned(),
            line: index + 1,
        };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            // The first of that name counts.
            if found {
                break;
            }
            found = section.split_once(']').map(|(name, _)| name) == Some(service);
            continue;
        }
        if !found {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| origin.invalid("there is no `=`"))?;
        if matches!(key, "service" | "servicefile") {
            return Err(origin.invalid("a service cannot lead to another one"));
        }
        given.add(key, value.to_owned(), origin)?;
    }
    Ok(found)
}
