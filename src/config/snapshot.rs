//! Which snapshot is meant and where it is.
//!
//! What it says of itself is the snapshot room's.

use std::path::{Path, PathBuf};

use super::suggest::nearest;
use super::units::Unfit;
use crate::snapshot::manifest::FILE_NAME;

/// The name that asks for an empty database.
pub const EMPTY: &str = "empty";

/// Finds the folder of a snapshot by its name or its path.
///
/// `base` is what a relative path starts from; names are looked for in `searched`, in this order.
///
/// # Errors
///
/// If there is none, worded to follow the name of the option or the key.
pub fn find(typed: &str, base: &Path, searched: &[PathBuf]) -> Result<PathBuf, Unfit> {
    if typed.contains('/') || typed.starts_with('.') {
        return by_path(typed, base);
    }
    if typed.trim().is_empty() {
        return Err(Unfit::new("is empty", "name a snapshot, or `empty`"));
    }
    let mut known: Vec<String> = Vec::new();
    for folder in searched {
        let snapshots = folder.join("snapshots");
        let folder = snapshots.join(typed);
        if folder.join(FILE_NAME).is_file() {
            return Ok(folder);
        }
        known.extend(names_in(&snapshots));
    }
    known.sort();
    let help = match nearest(typed, known.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!(
            "looked for `snapshots/{typed}/{FILE_NAME}` in {}, in the folders above it and in the working directory; \
             a path has a `/` in it",
            searched.first().map_or_else(
                || "the scenario's folder".to_owned(),
                |first| format!("`{}`", first.display())
            ),
        ),
    };
    Err(Unfit::new(format!("names no snapshot: `{typed}`"), help))
}

fn by_path(typed: &str, base: &Path) -> Result<PathBuf, Unfit> {
    let mut folder = base.join(typed);
    if folder.file_name().is_some_and(|name| name == FILE_NAME) {
        folder.pop();
    }
    if folder.join(FILE_NAME).is_file() {
        return Ok(folder);
    }
    let shown = folder.display();
    Err(if folder.is_dir() {
        Unfit::new(
            format!("names no snapshot: `{shown}` has no {FILE_NAME}"),
            format!("name the folder that holds a {FILE_NAME}"),
        )
    } else {
        Unfit::new(
            format!("names no snapshot: `{shown}` is no folder"),
            format!("name the folder that holds a {FILE_NAME}"),
        )
    })
}

fn names_in(snapshots: &Path) -> Vec<String> {
    let Ok(entries) = snapshots.read_dir() else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.path().join(FILE_NAME).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
