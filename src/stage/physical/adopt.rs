//! What the adopting of a data folder came to, from the words of its script.

use crate::{Error, Result};

/// Runs beside the server's programs, in a container or here.
pub(crate) const SCRIPT: &str = include_str!("adopt.sh");

/// An adopted data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adopted {
    /// The role that `initdb` made, whatever its name.
    pub superuser: String,
}

/// Reads what the script said; `database` has to be among what the cluster holds.
pub(crate) fn adopted(lines: &[String], database: &str) -> Result<Adopted> {
    let all = |key: &str| {
        lines
            .iter()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let databases = all("database");
    if !databases.iter().any(|name| name == database) {
        return Err(
            Error::usage(format!("the physical copy holds no database `{database}`")).help(
                format!(
                    "set `database` in `snapshot.toml` to the one that the migration is for: `{}`",
                    databases.join("`, `")
                ),
            ),
        );
    }
    let superuser = all("superuser")
        .pop()
        .ok_or_else(|| Error::defect("a data folder was adopted without a superuser"))?;
    Ok(Adopted { superuser })
}

/// The error of a script that ended badly, with what it said last.
pub(crate) fn failed(status: Option<i64>, said: &[String]) -> Error {
    let says = |text: &str| said.iter().any(|line| line.contains(text));
    let error = match status {
        Some(81) => Error::stage("the physical copy is of another major than the server")
            .help("a physical copy runs on its own major only: choose it with `--pg` or `--image`"),
        Some(82) => Error::stage("the source is no data folder that can be copied"),
        Some(84) => Error::stage(
            "the physical copy is damaged: a page does not match its checksum",
        )
        .help(
            "take the copy again; `pg_checksums --check` on the original tells whether it is whole",
        ),
        _ => {
            let error = Error::stage("the physical copy cannot be recovered");
            if says("could not locate required checkpoint record")
                || says("WAL ends before")
                || says("could not find redo location")
                || says("could not open file \"pg_wal")
                || says("before consistent recovery point")
                || says("recovery ended before configured recovery target")
            {
                error.help(
                    "WAL that it needs is missing: take the backup with `--wal-method=stream`, or name a folder of archived WAL as `source.wal`",
                )
            } else if says("could not access file") {
                error.help("it needs a library: use an image or server programs that have it, and name it in `shared_preload_libraries`")
            } else {
                error.help("see what the server said above; a copy of a running server's files that is no backup cannot be recovered")
            }
        }
    };
    error.details(said.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_has_to_be_there() {
        let lines = [
            "database=shop",
            "database=postgres",
            "superuser=root of all",
        ]
        .map(str::to_owned);
        assert_eq!(
            adopted(&lines, "shop").expect("there").superuser,
            "root of all"
        );
        let story = adopted(&lines, "lockproof").expect_err("not there").story();
        assert!(
            story.contains("`lockproof`") && story.contains("`shop`, `postgres`"),
            "{story}"
        );
    }
}
