//! Another server's data folder as the beginning of a base: a base backup, a data folder, what an
//! image or a volume holds.
//!
//! Answers what of it is taken and how it is made harmless; where it is laid is the stage's. Only
//! copies are ever written to, and a copy has no link that leads out of itself.

pub(crate) mod adopt;
pub(crate) mod archive;
mod files;
mod manifest;

use std::path::Path;

pub(crate) use files::unreadable;
pub use files::{Files, Member, Piece};

/// What stays in force of the configuration that a data folder brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Lines for `postgresql.conf`.
    pub lines: String,
    /// Names of settings that stay behind.
    pub left_out: std::collections::BTreeSet<String>,
}

impl Inherited {
    /// Tells what stays behind; the lines.
    pub(crate) fn told(self, watch: &dyn super::Watch) -> String {
        if !self.left_out.is_empty() {
            let names: Vec<&str> = self.left_out.iter().map(String::as_str).collect();
            watch.note(&format!(
                "left out of the physical copy's configuration, since a stage has no use for it: `{}`",
                names.join("`, `")
            ));
        }
        self.lines
    }
}

/// What a base's data folder begins as, before it is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A new cluster with an empty database.
    New,
    /// A copy of files of this machine.
    Files(Files),
    /// The data folder in a container image.
    Image {
        /// The image.
        image: String,
        /// The folder in it; None: what the image itself calls its data folder.
        path: Option<String>,
    },
    /// The data folder in a volume of the container engine.
    Volume {
        /// The volume.
        volume: String,
        /// The folder in it.
        path: String,
    },
}

impl Origin {
    /// The image that holds the data, and so the server that they are of.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Image { image, .. } => Some(image),
            _ => None,
        }
    }

    /// Whether only a container engine can reach it.
    pub fn is_in_engine(&self) -> bool {
        matches!(self, Self::Image { .. } | Self::Volume { .. })
    }

    /// Whether it is another server's data folder, with its bloat, statistics and settings.
    pub fn is_physical(&self) -> bool {
        *self != Self::New
    }
}

/// What of a data folder belongs to the server that ran on it and not to its data.
///
/// Mostly what `pg_basebackup` leaves out as well. A replication slot would keep WAL for ever,
/// `standby.signal` would follow production, `tablespace_map` would lead back to the original's files.
pub fn is_left_out(path: &Path) -> bool {
    const FILES: [&str; 11] = [
        "postmaster.pid",
        "postmaster.opts",
        "standby.signal",
        "recovery.signal",
        "recovery.done",
        "tablespace_map",
        "current_logfiles",
        "pg_hba.conf",
        "pg_ident.conf",
        "pg_internal.init",
        "backup_manifest",
    ];
    /// They stay, empty.
    const EMPTIED: [&str; 9] = [
        "pg_replslot",
        "pg_stat_tmp",
        "pg_dynshmem",
        "pg_notify",
        "pg_serial",
        "pg_snapshots",
        "pg_subtrans",
        "pg_log",
        "log",
    ];
    let mut parts = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    let first = parts.next().unwrap_or_default();
    let is_top = parts.next().is_none();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (is_top && FILES.contains(&&*name))
        || (!is_top && EMPTIED.contains(&&*first))
        || name == "pg_internal.init"
        || name.starts_with("pgsql_tmp")
        || (first == "pg_wal"
            && path.starts_with("pg_wal/archive_status")
            && path != Path::new("pg_wal/archive_status"))
}

/// A segment, a history or a backup file, by its name without what it is packed with.
pub(crate) fn wal_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let name = [".gz", ".zst", ".lz4"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed))
        .unwrap_or(&name);
    let digits = name.split('.').next().unwrap_or_default();
    let is_wal = (digits.len() == 24 || digits.len() == 8 && name.ends_with(".history"))
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_wal.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_other_server_is_left_out() {
        for path in [
            "postmaster.pid",
            "standby.signal",
            "pg_replslot/standby_1/state",
            "base/5/pg_internal.init",
            "base/pgsql_tmp/pgsql_tmp1.0",
            "pg_wal/archive_status/000000010000000000000001.ready",
            "tablespace_map",
            "log/postgresql.log",
        ] {
            assert!(is_left_out(Path::new(path)), "{path}");
        }
        for path in [
            "PG_VERSION",
            "backup_label",
            "postgresql.auto.conf",
            "pg_replslot",
            "pg_wal",
            "pg_wal/archive_status",
            "pg_wal/000000010000000000000001",
            "base/5/2619",
            "pg_tblspc/16400/PG_15_202209061/5/16384",
            "pg_stat/pgstat.stat",
            "pg_twophase/000002E3",
        ] {
            assert!(!is_left_out(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn only_wal_is_taken_from_an_archive_of_it() {
        for (file, name) in [
            (
                "/a/000000010000000000000002",
                Some("000000010000000000000002"),
            ),
            (
                "/a/000000010000000000000002.gz",
                Some("000000010000000000000002"),
            ),
            ("/a/00000002.history", Some("00000002.history")),
            (
                "/a/000000010000000000000002.00000028.backup",
                Some("000000010000000000000002.00000028.backup"),
            ),
            ("/a/README", None),
            ("/a/00000002.txt", None),
        ] {
            assert_eq!(wal_name(Path::new(file)).as_deref(), name, "{file}");
        }
    }
}
