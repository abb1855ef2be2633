//! Which Unix sockets of this machine are hidden from an enclosed process.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Where distributions have PostgreSQL and connection poolers put their sockets.
const SERVER_FOLDERS: [&str; 4] = [
    "/run/postgresql",
    "/var/run/postgresql",
    "/run/pgbouncer",
    "/var/run/pgbouncer",
];
/// Where sockets are looked for that this network namespace does not list: those of servers in containers.
const SEARCHED: [&str; 4] = ["/run", "/tmp", "/var/run", "/var/tmp"];

/// Folders of servers' sockets that exist, each once.
pub(super) fn server_folders() -> Vec<PathBuf> {
    let real = |folder: &&str| Path::new(folder).canonicalize().ok();
    let folders: BTreeSet<PathBuf> = SERVER_FOLDERS.iter().filter_map(real).collect();
    folders.into_iter().collect()
}

/// Every socket that accepts connections, but for those that stay reachable and those in emptied folders.
pub(super) fn to_cover(reachable: &[PathBuf], emptied: &[PathBuf]) -> Vec<PathBuf> {
    let listed = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut sockets: BTreeSet<PathBuf> = listening(&listed)
        .into_iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    for folder in SEARCHED {
        search(Path::new(folder), 2, &mut sockets);
    }
    let real = |paths: &[PathBuf]| -> Vec<PathBuf> {
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        paths.iter().map(real).collect()
    };
    let (reachable, emptied) = (real(reachable), real(emptied));
    let is_in =
        |paths: &[PathBuf], socket: &Path| paths.iter().any(|path| socket.starts_with(path));
    sockets.retain(|socket| !is_in(&reachable, socket) && !is_in(&emptied, socket));
    sockets.into_iter().collect()
}

/// The paths of `/proc/net/unix` whose sockets listen. Abstract ones end at the network namespace by themselves.
fn listening(list: &str) -> Vec<PathBuf> {
    /// `__SO_ACCEPTCON` of the kernel's `include/uapi/linux/net.h`.
    const ACCEPTS: u32 = 1 << 16;
    let socket = |line: &str| {
        // Num RefCount Protocol Flags Type St Inode Path; a path may hold blanks.
        let mut rest = line;
        let mut flags = None;
        for field in 0..7 {
            rest = rest.trim_start();
            let end = rest.find(' ')?;
            if field == 3 {
                flags = u32::from_str_radix(&rest[..end], 16).ok();
            }
            rest = &rest[end..];
        }
        let path = rest.strip_prefix(' ')?;
        (flags? & ACCEPTS != 0 && path.starts_with('/')).then(|| PathBuf::from(path))
    };
    list.lines().skip(1).filter_map(socket).collect()
}

/// Socket files in a folder and, so many levels deep, in those inside it.
fn search(folder: &Path, levels: u32, found: &mut BTreeSet<PathBuf>) {
    let Ok(folder) = folder.canonicalize() else {
        return;
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // Of the entry itself: links are not followed.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_socket() {
            found.insert(entry.path());
        } else if kind.is_dir() && levels > 1 {
            search(&entry.path(), levels - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_sockets_that_listen_are_listed() {
        let list = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 18137 /run/a b/.s.PGSQL.5432\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 18138 @abstract\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 18139 /run/connected\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 18140\n";
        assert_eq!(listening(list), [PathBuf::from("/run/a b/.s.PGSQL.5432")]);
    }

    #[test]
    fn a_socket_is_found_unless_it_stays_reachable() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("real").join("s");
        let _socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let covered = |reachable: &[PathBuf]| to_cover(reachable, &[]).contains(&path);
        assert!(covered(&[]));
        assert!(!covered(std::slice::from_ref(&path)));
        assert!(!covered(&[folder.path().to_owned()]));
        assert!(covered(&[folder.path().join("another")]));
    }
}
