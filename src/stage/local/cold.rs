//! Takes a running stage's files out of the kernel's memory.
//!
//! The server needs no restart: it started on a fresh copy, and what it read since are catalogues.

use std::path::Path;

use crate::{Error, Result};

/// Drops every page of the data folder that the kernel has.
///
/// # Errors
/// Where the file system has no other place for them than memory, and where the kernel cannot be asked.
#[cfg(target_os = "linux")]
pub(super) async fn chill(data: &Path) -> Result<()> {
    let data = data.to_owned();
    tokio::task::spawn_blocking(move || drop_pages(&data))
        .await
        .map_err(|error| Error::defect("dropping a folder's pages broke off").because(error))?
}

/// Refuses: there is no call for it.
#[cfg(not(target_os = "linux"))]
pub(super) async fn chill(_: &Path) -> Result<()> {
    Err(
        Error::stage("a stage on this machine cannot be made cold: its kernel has no call for it")
            .help("run it in a container (`--stage docker`), or with `--warmth as-is`"),
    )
}

#[cfg(target_os = "linux")]
fn drop_pages(data: &Path) -> Result<()> {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};

    let failed = |error: std::io::Error| {
        Error::stage(format!("cannot drop the pages of `{}`", data.display())).because(error)
    };
    let facts = statfs(data).map_err(|errno| failed(errno.into()))?;
    if facts.filesystem_type() == TMPFS_MAGIC {
        return Err(Error::stage(format!(
            "`{}` lies in memory (tmpfs): it can never be cold",
            data.display()
        ))
        .help("choose a folder on a disk with `--cache`, or `--warmth as-is`"));
    }
    // Only clean pages are dropped.
    let folder = std::fs::File::open(data).map_err(failed)?;
    nix::unistd::syncfs(&folder).map_err(|errno| failed(errno.into()))?;
    let mut open = vec![data.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                match std::fs::File::open(entry.path()) {
                    Ok(file) => {
                        let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
                        posix_fadvise(&file, 0, 0, advice).map_err(|errno| failed(errno.into()))?;
                    }
                    // The server removes files of its own at any time.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
    }
    Ok(())
}
