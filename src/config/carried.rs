//! Which of production's settings a stage takes over, and why: those that change how long a lock is
//! held, which plan is taken or what a statement does. Everything else stays behind, by name.
//!
//! A list of what passes and not of what does not: a stage must never archive, connect to a primary,
//! load a library or listen because a file of production said so, whatever a later major calls that.

use super::settings;
use super::units::Unfit;

/// What passes, by the reason for it. `x*` is every name that begins with `x`.
const CARRIED: &[(&str, &[&str])] = &[
    (
        "locks and time limits: they end statements, and say when a deadlock or autovacuum is looked at",
        &[
            "deadlock_timeout",
            "idle_in_transaction_session_timeout",
            "idle_session_timeout",
            "lock_timeout",
            "max_locks_per_transaction",
            "max_pred_locks_per_*",
            "max_prepared_transactions",
            "statement_timeout",
            "transaction_timeout",
        ],
    ),
    (
        "commit and log: a lock is held until its transaction's commit is flushed",
        &[
            "backend_flush_after",
            "bgwriter_*",
            "checkpoint_*",
            "commit_delay",
            "commit_siblings",
            "fsync",
            "full_page_writes",
            "max_wal_size",
            "min_wal_size",
            "synchronous_commit",
            "wal_buffers",
            "wal_compression",
            "wal_init_zero",
            "wal_level",
            "wal_log_hints",
            "wal_recycle",
            "wal_skip_threshold",
            "wal_sync_method",
            "wal_writer_*",
        ],
    ),
    (
        "memory: sorts of index builds and foreign-key checks spill without it",
        &[
            "effective_cache_size",
            "hash_mem_multiplier",
            "maintenance_work_mem",
            "shared_buffers",
            "temp_buffers",
            "work_mem",
        ],
    ),
    (
        "plans and parallel workers: they decide how a backfill or a validation reads its table",
        &[
            "constraint_exclusion",
            "cpu_*",
            "cursor_tuple_fraction",
            "default_statistics_target",
            "effective_io_concurrency",
            "enable_*",
            "from_collapse_limit",
            "geqo*",
            "io_combine_limit",
            "io_max_combine_limit",
            "jit",
            "jit_*",
            "join_collapse_limit",
            "maintenance_io_concurrency",
            "max_connections",
            "max_parallel_*",
            "max_worker_processes",
            "min_parallel_*",
            "parallel_leader_participation",
            "parallel_setup_cost",
            "parallel_tuple_cost",
            "plan_cache_mode",
            "random_page_cost",
            "recursive_worktable_factor",
            "seq_page_cost",
        ],
    ),
    (
        "vacuum: its locks, and its cancellation, are part of what a migration meets",
        &["autovacuum*", "old_snapshot_threshold", "vacuum_*"],
    ),
    (
        "sessions: the same statement rewrites, or finds another table, under another of these",
        &[
            "array_nulls",
            "bytea_output",
            "check_function_bodies",
            "datestyle",
            "default_table_access_method",
            "default_text_search_config",
            "default_toast_compression",
            "default_transaction_deferrable",
            "default_transaction_isolation",
            "gin_*",
            "intervalstyle",
            "row_security",
            "search_path",
            "session_replication_role",
            "standard_conforming_strings",
            "timezone",
            "timezone_abbreviations",
            "transform_null_equals",
        ],
    ),
    (
        "extensions that lengthen statements or plan them",
        &[
            "auto_explain.*",
            "citus.*",
            "hnsw.*",
            "ivfflat.*",
            "pg_stat_statements.*",
            "pg_trgm.*",
            "plpgsql.*",
            "postgis.*",
            "timescaledb.*",
        ],
    ),
];

/// Libraries are loaded only where somebody wrote so for the stage.
const PRELOAD: &str = "shared_preload_libraries";

/// Who names a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// A file of production, as it is there.
    InProduction,
    /// Somebody, for the stage.
    ForTheStage,
}

/// Whether a setting goes with the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does.
    Carried,
    /// It stays behind, and its name is told.
    LeftOut,
}

/// Whether a setting passes.
///
/// # Errors
/// For a value that no stage can have, such as `fsync = off`; worded to follow the setting's name.
pub fn fate(name: &str, value: &str, written: Written) -> Result<Fate, Unfit> {
    let name = name.to_ascii_lowercase();
    let listed = CARRIED.iter().flat_map(|(_, names)| *names).any(|known| {
        known
            .strip_suffix('*')
            .map_or(*known == name, |start| name.starts_with(start))
    });
    let asked = written == Written::ForTheStage && name == PRELOAD;
    if written == Written::ForTheStage || listed {
        settings::check(&name, value)?;
    }
    Ok(if listed || asked {
        Fate::Carried
    } else {
        Fate::LeftOut
    })
}

/// True for a setting whose value is a list of names, each of which may need quotes.
pub fn is_list_of_names(name: &str) -> bool {
    name.eq_ignore_ascii_case("search_path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_reach_out_or_keep_a_stage_from_starting_stays_behind() {
        for name in [
            "archive_mode",
            "archive_command",
            "archive_library",
            "restore_command",
            "recovery_target_time",
            "primary_conninfo",
            "ssl",
            "ssl_key_file",
            "listen_addresses",
            "port",
            "data_directory",
            "unix_socket_directories",
            "hba_file",
            "shared_preload_libraries",
            "session_preload_libraries",
            "synchronous_standby_names",
            "cluster_name",
            "log_directory",
            "huge_pages",
            "temp_tablespaces",
            "app.jwt_secret",
            "dynamic_library_path",
            "event_source",
            // The stage's own sessions have to write.
            "default_transaction_read_only",
        ] {
            assert_eq!(
                fate(name, "x", Written::InProduction),
                Ok(Fate::LeftOut),
                "{name}"
            );
        }
    }

    #[test]
    fn what_changes_verdicts_passes() {
        for name in [
            "work_mem",
            "TimeZone",
            "lock_timeout",
            "max_parallel_maintenance_workers",
            "autovacuum_naptime",
            "enable_seqscan",
            "timescaledb.max_background_workers",
        ] {
            assert_eq!(
                fate(name, "1", Written::InProduction),
                Ok(Fate::Carried),
                "{name}"
            );
        }
        assert_eq!(fate(PRELOAD, "x", Written::ForTheStage), Ok(Fate::Carried));
    }

    #[test]
    fn what_would_falsify_every_hold_is_refused() {
        assert!(fate("fsync", "off", Written::InProduction).is_err());
        assert!(fate("port", "1", Written::ForTheStage).is_err());
    }

    #[test]
    fn each_name_is_there_once_with_a_reason() {
        let mut seen = std::collections::BTreeSet::new();
        for (reason, names) in CARRIED {
            assert!(!reason.is_empty());
            for name in *names {
                assert!(seen.insert(*name), "`{name}` is there twice");
                assert_eq!(*name, name.to_ascii_lowercase());
            }
        }
    }
}
