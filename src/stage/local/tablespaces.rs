//! The tablespaces that a migration made: their files lie outside the data folder, and go with it.
//!
//! A base has none: its copying refuses links. So every link in `pg_tblspc` is of this run's server, and what it leads
//! to holds that server's files in a folder named after its format.

use std::path::{Path, PathBuf};

/// Removes them and their links; what cannot be removed is left to whoever sees it.
pub(super) fn remove(data: &Path) {
    let Some(format) = format(data) else {
        return;
    };
    for (link, place) in links(data) {
        // Only what this very format of server made: another may have its own files beside.
        let _ = std::fs::remove_dir_all(place.join(&format));
        let _ = std::fs::remove_file(link);
    }
}

/// The links, and where they lead.
fn links(data: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = std::fs::read_dir(data.join("pg_tblspc"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let place = std::fs::read_link(entry.path()).ok()?;
            place.is_absolute().then(|| (entry.path(), place))
        })
        .collect()
}

/// `PG_15_202209061`: major and catalogue version, as the control file of the data folder has them
/// (`ControlFileData` in PostgreSQL's `src/include/catalog/pg_control.h`; `GetDatabasePath`).
fn format(data: &Path) -> Option<String> {
    const CATALOGUE: std::ops::Range<usize> = 12..16;
    let major = std::fs::read_to_string(data.join("PG_VERSION")).ok()?;
    let control = std::fs::read(data.join("global/pg_control")).ok()?;
    let catalogue = u32::from_ne_bytes(control.get(CATALOGUE)?.try_into().ok()?);
    Some(format!("PG_{}_{catalogue}", major.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_of_this_server_s_format_go() {
        let (data, place) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let at = |name: &str| data.path().join(name);
        std::fs::write(at("PG_VERSION"), "15\n").expect("written");
        for folder in ["global", "pg_tblspc"] {
            std::fs::create_dir(at(folder)).expect("made");
        }
        let mut control = vec![0; 12];
        control.extend(202_209_061_u32.to_ne_bytes());
        std::fs::write(at("global/pg_control"), control).expect("written");
        for name in ["PG_15_202209061", "PG_14_202107181"] {
            std::fs::create_dir_all(place.path().join(name).join("5")).expect("made");
        }
        std::os::unix::fs::symlink(place.path(), at("pg_tblspc/16390")).expect("linked");
        remove(data.path());
        let left: Vec<_> = place.path().read_dir().expect("read").flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "PG_14_202107181");
        assert_eq!(at("pg_tblspc").read_dir().expect("read").count(), 0);
        // What is no data folder is left alone.
        remove(place.path());
    }
}
