//! The paths of the command line → a scenario file, or SQL files in the order in which they run.

use std::path::{Path, PathBuf};

use super::order::{self, Role};
use super::suggest::listed;
use crate::{Error, Result};

/// What the paths stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A scenario file.
    Scenario(PathBuf),
    /// Plain SQL files, each a step.
    Files {
        /// The folder that the scenario is named after and snapshots are looked for from.
        folder: PathBuf,
        /// In the order in which they run.
        files: Vec<PathBuf>,
    },
}

/// Looks at the paths; what a folder holds and does not run is told in `notes`.
///
/// # Errors
///
/// If a path does not exist or is nothing that can be run, alone or beside the others.
pub fn discover(paths: &[PathBuf], notes: &mut Vec<String>) -> Result<Found> {
    for path in paths {
        if let Err(error) = path.metadata() {
            let shown = path.display();
            return Err(match error.kind() {
                std::io::ErrorKind::NotFound => Error::usage(format!("`{shown}` does not exist")),
                _ => Error::usage(format!("cannot read `{shown}`")).because(error),
            });
        }
    }
    match paths {
        [] => Err(Error::usage("nothing to run").help("name a scenario or .sql files")),
        [only] if only.is_dir() => folder(only, notes),
        [only] if has_extension(only, "toml") => Ok(Found::Scenario(only.clone())),
        [first, ..] => {
            for path in paths {
                sql_file(path)?;
            }
            Ok(Found::Files {
                folder: parent(first),
                files: paths.to_vec(),
            })
        }
    }
}

/// The paths of each scenario: every folder and scenario file is one of its own, a list with a .sql file in
/// it is one together.
pub fn scenarios(paths: &[PathBuf]) -> Vec<&[PathBuf]> {
    let of_its_own = |path: &PathBuf| path.is_dir() || has_extension(path, "toml");
    // A path that is neither, or not there, is refused either way; so it is with the others.
    if paths
        .iter()
        .any(|path| has_extension(path, "sql") && !path.is_dir())
        || !paths.iter().any(of_its_own)
    {
        vec![paths]
    } else {
        paths.chunks(1).collect()
    }
}

/// The folder that a file is in, `.` for a bare name.
pub fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file of the folder, without the `./` that nobody typed.
pub fn beside(folder: &Path, file: &Path) -> PathBuf {
    if folder == Path::new(".") {
        file.to_owned()
    } else {
        folder.join(file)
    }
}

fn sql_file(path: &Path) -> Result<()> {
    let shown = path.display();
    if path.is_dir() || has_extension(path, "toml") {
        return Err(
            Error::usage(format!("`{shown}` cannot stand beside .sql files")).help(
                "name scenarios and folders, or the .sql files of one scenario in their order",
            ),
        );
    }
    if !has_extension(path, "sql") {
        return Err(
            Error::usage(format!("`{shown}` is neither a scenario nor a .sql file"))
                .help("name a folder, a scenario.toml, or .sql files"),
        );
    }
    Ok(())
}

fn folder(folder: &Path, notes: &mut Vec<String>) -> Result<Found> {
    let scenario = beside(folder, Path::new("scenario.toml"));
    if scenario.exists() {
        return Ok(Found::Scenario(scenario));
    }
    let shown = folder.display();
    let mut forward: Vec<(String, PathBuf)> = Vec::new();
    let mut undo: Vec<String> = Vec::new();
    let mut below: Vec<String> = Vec::new();
    let unreadable = |error| Error::usage(format!("cannot read `{shown}`")).because(error);
    for entry in folder.read_dir().map_err(unreadable)? {
        let file_name = entry.map_err(unreadable)?.file_name();
        let name = file_name.to_string_lossy().into_owned();
        let path = beside(folder, Path::new(&file_name));
        if path.is_dir() {
            if holds_sql(&path) {
                below.push(name);
            }
            continue;
        }
        match order::role(&name) {
            Role::Forward => forward.push((name, path)),
            Role::Undo => undo.push(name),
            Role::Other => {}
        }
    }
    let in_order = |names: &mut Vec<String>| names.sort_by(|a, b| order::compare(a, b));
    in_order(&mut undo);
    in_order(&mut below);
    forward.sort_by(|(a, path_a), (b, path_b)| order::compare(a, b).then(path_a.cmp(path_b)));
    if forward.is_empty() {
        let error = Error::usage(format!(
            "`{shown}` holds neither a scenario.toml nor a .sql file to run"
        ));
        return Err(if let Some(first) = below.first() {
            error.help(format!(
                "folders below it are not looked at; name the files, such as `{}/*.sql`",
                beside(folder, Path::new(first)).display()
            ))
        } else if undo.is_empty() {
            error.help("name a folder, a scenario.toml, or .sql files")
        } else {
            error.help(format!("undo files are left out: {}", listed_some(&undo)))
        });
    }
    if !undo.is_empty() {
        notes.push(format!("undo files are left out: {}", listed_some(&undo)));
    }
    if !below.is_empty() {
        notes.push(format!(
            "folders with .sql files are not looked at: {}",
            listed_some(&below)
        ));
    }
    Ok(Found::Files {
        folder: folder.to_owned(),
        files: forward.into_iter().map(|(_, path)| path).collect(),
    })
}

/// The first few, and how many more there are: a folder of years has hundreds.
fn listed_some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = names.iter().take(SHOWN).map(String::as_str);
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => listed(first),
        Some(more) => {
            let first: Vec<String> = first.map(|name| format!("`{name}`")).collect();
            format!("{} and {more} more", first.join(", "))
        }
    }
}

fn holds_sql(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| has_extension(&entry.path(), "sql"))
    })
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}
