//! Which settings are part of what a base holds.
//!
//! The server that a base is filled in is told these and no other that could leave a trace in the data; so a
//! base is known by its content, its server and these, and whoever changes another restores nothing anew.

use std::collections::BTreeMap;

/// Settings that change what a restore or a generator leaves in the data folder, and how.
const SHAPING: &[&str] = &[
    // Code that runs with every statement, or that the snapshot's objects need.
    "shared_preload_libraries",
    "session_preload_libraries",
    "local_preload_libraries",
    "dynamic_library_path",
    "extension_control_path",
    "jit_provider",
    // How and where rows are stored.
    "default_table_access_method",
    "default_tablespace",
    "default_toast_compression",
    "track_commit_timestamp",
    // What ANALYZE and the freezing at a restore's end leave.
    "default_statistics_target",
    "vacuum_freeze_min_age",
    "vacuum_freeze_table_age",
    "vacuum_multixact_freeze_min_age",
    "vacuum_multixact_freeze_table_age",
    "vacuum_truncate",
    // What an expression without a cast comes to, in a generator, a default or a trigger.
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "datestyle",
    "default_text_search_config",
    "extra_float_digits",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "quote_all_identifiers",
    "search_path",
    "standard_conforming_strings",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
    // What runs along, and who owns and may do what afterwards.
    "check_function_bodies",
    "createrole_self_grant",
    "event_triggers",
    "lo_compat_privileges",
    "password_encryption",
    "role",
    "row_security",
    "session_replication_role",
    // Reads damaged data as if it were none.
    "ignore_checksum_failure",
    "zero_damaged_pages",
];

/// Settings that leave no trace but decide whether a restore works, or how fast: they are passed on.
const CAPACITY: &[&str] = &[
    "huge_pages",
    "max_connections",
    "max_locks_per_transaction",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_prepared_transactions",
    "max_stack_depth",
    "max_wal_size",
    "max_worker_processes",
    "shared_buffers",
    "shared_memory_type",
    "dynamic_shared_memory_type",
];

/// Extensions that only watch.
const WATCHING: &[&str] = &["auto_explain.", "pg_stat_statements."];

/// Whether a setting is part of what a base holds. One of an extension may be anything, such as how a
/// table is cut into chunks: all are, but for those that are known only to watch.
fn is_shaping(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if name.contains('.') {
        return !WATCHING.iter().any(|watching| name.starts_with(watching));
    }
    SHAPING.contains(&name.as_str())
}

/// The settings that belong into a base's key, in order.
pub(super) fn shaping(settings: &BTreeMap<String, String>) -> Vec<(String, &str)> {
    let mut shaping: Vec<(String, &str)> = settings
        .iter()
        .filter(|(name, _)| is_shaping(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .collect();
    shaping.sort();
    shaping
}

/// The settings that the server is told that a base is filled in: those of the key, and what a restore
/// may need to work at all.
pub(super) fn filling(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    settings
        .iter()
        .filter(|(name, _)| {
            is_shaping(name) || CAPACITY.contains(&name.to_ascii_lowercase().as_str())
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(names: &[&str]) -> BTreeMap<String, String> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "1".to_owned()))
            .collect()
    }

    #[test]
    fn only_what_the_data_shows_is_in_the_key() {
        let none = settings(&[
            "work_mem",
            "maintenance_work_mem",
            "shared_buffers",
            "max_connections",
            "max_wal_size",
            "statement_timeout",
            "lock_timeout",
            "log_statement",
            "wal_level",
            "autovacuum",
            "auto_explain.log_min_duration",
            "random_page_cost",
        ]);
        assert_eq!(shaping(&none), []);
        for name in [
            "shared_preload_libraries",
            "default_toast_compression",
            "Default_Table_Access_Method",
            "TimeZone",
            "timescaledb.restoring",
            "session_replication_role",
        ] {
            let one = settings(&[name]);
            assert_eq!(shaping(&one), [(name.to_ascii_lowercase(), "1")]);
            // What is in the key is told to the server, or it would be in there for nothing.
            assert_eq!(filling(&one), one);
        }
    }

    #[test]
    fn what_production_like_servers_have_shapes_nothing() {
        let usual = crate::config::settings::PRODUCTION_LIKE;
        let usual: Vec<&str> = usual.iter().map(|(name, ..)| *name).collect();
        assert_eq!(shaping(&settings(&usual)), []);
        let filling = filling(&settings(&usual));
        assert!(filling.contains_key("max_connections"));
        assert!(!filling.contains_key("wal_level") && !filling.contains_key("fsync"));
    }
}
