//! How much disk there is, and whether an error means that there is none left.

use std::path::Path;

use crate::Error;

/// Bytes that an ordinary account may still use on the disk of `path`.
pub fn free(path: &Path) -> Option<u64> {
    let facts = nix::sys::statvfs::statvfs(path).ok()?;
    // Their widths differ between systems.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    Some(u64::from(facts.blocks_available()) * facts.fragment_size() as u64)
}

/// Bytes of all files below `path`.
pub(super) fn used(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => used(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |facts| facts.len()),
            _ => 0,
        })
        .sum()
}

/// Names the full disk where that is what lies behind an error or a server's last words.
pub(super) fn explain(error: Error, folder: &Path, log: &[String]) -> Error {
    let full = |text: &str| {
        text.contains("No space left on device") || text.contains("Disk quota exceeded")
    };
    // Shared memory has a limit of its own (64 MB in a container) and fails in the same words.
    let full = |text: &str| {
        text.lines()
            .any(|line| full(line) && !line.contains("shared memory segment"))
    };
    if !full(&error.story()) && !log.iter().any(|line| full(line)) {
        return error;
    }
    let free = free(folder).map_or_else(
        || "an unknown number of".to_owned(),
        |free| free.to_string(),
    );
    let details: Vec<String> = error.story().lines().map(str::to_owned).collect();
    Error::stage(format!(
        "the disk of `{}` is full (after the failure {free} bytes are free)",
        folder.display()
    ))
    .details(details)
    .help("free some space (`lockproof clean`, `lockproof snapshot`), or choose a folder on a larger disk with `--cache`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_is_called_one() {
        let folder = std::env::temp_dir();
        let other = explain(Error::stage("no such role"), &folder, &[]);
        assert_eq!(other.to_string(), "no such role");
        let log = ["PANIC:  could not write: No space left on device".to_owned()];
        let full = explain(Error::stage("connection closed"), &folder, &log);
        assert!(full.to_string().contains("is full"));
        assert!(full.to_string().contains(&*folder.display().to_string()));
        assert!(full.story().contains("connection closed"));
    }
}
