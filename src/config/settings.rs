//! Server settings: those of a production server, and those that would make a measurement worthless.

use super::units::Unfit;

/// What a stage runs with unless the scenario or the command line says otherwise, and why.
///
/// The point is a server that commits, logs and checkpoints as one in production does: a lock is held
/// until its transaction's commit is flushed. Small enough for a machine of 2 GB.
pub const PRODUCTION_LIKE: &[(&str, &str, &str)] = &[
    (
        "fsync",
        "on",
        "a hold lasts until its commit is on disk; off, it would look shorter than it is",
    ),
    (
        "synchronous_commit",
        "on",
        "as above: the commit waits for its flush while the locks are held",
    ),
    (
        "full_page_writes",
        "on",
        "the first change of a page after a checkpoint logs the whole page, as in production",
    ),
    (
        "wal_level",
        "replica",
        "at minimal, a rewrite skips the log and is far quicker than on a server with replicas",
    ),
    (
        "max_wal_size",
        "4GB",
        "at the default of 1GB a large rewrite forces checkpoints that a production server does not have",
    ),
    (
        "shared_buffers",
        "256MB",
        "twice the default, and still within a small container",
    ),
    (
        "maintenance_work_mem",
        "256MB",
        "index builds and foreign-key checks sort in it; the default of 64MB makes them spill",
    ),
    (
        "autovacuum",
        "on",
        "its locks and its cancellation are part of what a migration meets",
    ),
    (
        "max_connections",
        "200",
        "room for the replay, the sampler and an application's sessions",
    ),
    (
        "log_lock_waits",
        "off",
        "the sampler sees waits itself; the log stays short, the same on every major",
    ),
];

/// Settings that the stage itself decides, to find and reach its own server.
const RESERVED: &[&str] = &[
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "log_destination",
    "logging_collector",
    "port",
    "unix_socket_directories",
];

/// Refuses a setting that cannot be or that would make every hold look shorter than it is.
///
/// # Errors
///
/// The reason, worded to follow the setting's name.
pub fn check(name: &str, value: &str) -> Result<(), Unfit> {
    let well_formed = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !well_formed {
        return Err(Unfit::new(
            "is no name of a server setting",
            "write it as `name=value`, such as `work_mem=64MB`",
        ));
    }
    if value.contains('\0') {
        return Err(Unfit::new("holds a NUL byte", "leave it out"));
    }
    if RESERVED
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return Err(Unfit::new(
            "is decided by the stage, which has to find and reach its own server",
            "leave it out",
        ));
    }
    if name.eq_ignore_ascii_case("fsync") && is_off(value) {
        return Err(Unfit::new(
            "cannot be off: a lock is held until its transaction's commit is flushed, so every hold would look shorter than it is",
            "leave it out; to make a stage quicker, put its cache folder on a faster disk",
        ));
    }
    Ok(())
}

/// What to tell of a setting that is allowed, but shows other holds than most production servers have.
pub fn caution(name: &str, value: &str) -> Option<String> {
    let lighter = match name.to_ascii_lowercase().as_str() {
        "synchronous_commit" | "full_page_writes" => is_off(value),
        "wal_level" => value.eq_ignore_ascii_case("minimal"),
        _ => false,
    };
    lighter.then(|| {
        format!("`{name}={value}` makes commits or rewrites cheaper: holds prove something only about servers that run with it")
    })
}

/// PostgreSQL's idea of false: `off`, `false`, `no`, `0`, and their unambiguous beginnings.
fn is_off(value: &str) -> bool {
    let value = value.trim().trim_matches('\'').to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    value == "0" || begins("off", 2) || begins("false", 1) || begins("no", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_need_no_caution() {
        for (name, value, reason) in PRODUCTION_LIKE {
            assert_eq!(check(name, value), Ok(()), "{name}");
            assert_eq!(caution(name, value), None, "{name}");
            assert!(!reason.is_empty());
        }
    }

    #[test]
    fn fsync_cannot_be_off_however_it_is_spelled() {
        for off in [
            "off", "OFF", "of", "false", "f", "no", "n", "0", " off ", "'off'",
        ] {
            assert!(check("fsync", off).is_err(), "{off}");
            assert!(check("FSYNC", off).is_err(), "{off}");
        }
        for on in ["on", "true", "1", "yes", "o"] {
            assert_eq!(check("fsync", on), Ok(()), "{on}");
        }
        assert_eq!(check("full_page_writes", "off"), Ok(()));
    }

    #[test]
    fn the_stage_keeps_what_it_needs_to_reach_its_server() {
        assert!(check("port", "5432").is_err());
        assert!(check("", "x").is_err());
        assert!(check("work_mem -c fsync", "x").is_err());
        assert_eq!(check("my_extension.level", "3"), Ok(()));
        assert!(caution("synchronous_commit", "off").is_some());
        assert!(caution("wal_level", "minimal").is_some());
    }
}
