//! A snapshot that holds rows is kept out of version control: a `.gitignore` in its folder names all of it.

use std::path::{Path, PathBuf};

use super::cannot_write;
use crate::Result;

/// The file.
pub(super) const FILE: &str = ".gitignore";

/// It ignores itself as well.
const CONTENT: &str = "\
# Written by lockproof: this snapshot holds rows of a database, which do not belong into version control.
*
";

/// Writes it.
pub(super) fn write(folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    std::fs::write(&path, CONTENT).map_err(|error| cannot_write(&path, error))
}

/// Whether the snapshot in this folder has it, and with it rows.
pub(super) fn is_there(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

/// The git work tree that the folder lies in; None: in none.
pub(super) fn work_tree(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    // A file in a work tree beside the first, and in a submodule.
    let tree = folder
        .ancestors()
        .find(|place| place.join(".git").exists())?;
    Some(tree.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_tree_is_found_from_any_folder_below() {
        let room = tempfile::tempdir().expect("a folder");
        let below = room.path().join("a/b");
        std::fs::create_dir_all(&below).expect("made");
        assert_eq!(work_tree(&below), None);
        std::fs::write(room.path().join(".git"), "gitdir: elsewhere").expect("written");
        assert_eq!(work_tree(&below), room.path().canonicalize().ok());
        write(&below).expect("written");
        assert!(is_there(&below) && !is_there(room.path()));
        let text = std::fs::read_to_string(below.join(FILE)).expect("read");
        assert!(text.lines().any(|line| line == "*"), "{text}");
    }
}
