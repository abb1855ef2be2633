//! The source's settings that decide how long locks are held: those, and nothing that is the
//! machine's, a file's, a network's or a secret.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::failed;
use crate::Result;

/// Settings that may be told, and that a stage can have too. Sizes of memory that only production's
/// machine has (`shared_buffers`) and libraries that a stage may lack are written as comments.
const TOLD: [&str; 62] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "autovacuum",
    "autovacuum_analyze_scale_factor",
    "autovacuum_analyze_threshold",
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_insert_scale_factor",
    "autovacuum_vacuum_insert_threshold",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "commit_delay",
    "commit_siblings",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "deadlock_timeout",
    "default_statistics_target",
    "default_table_access_method",
    "default_toast_compression",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "full_page_writes",
    "gin_fuzzy_search_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "max_locks_per_transaction",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "random_page_cost",
    "row_security",
    "search_path",
    "seq_page_cost",
    "session_replication_role",
    "statement_timeout",
    "synchronous_commit",
    "transaction_timeout",
    "vacuum_cost_delay",
    "vacuum_cost_limit",
    "vacuum_freeze_min_age",
    "vacuum_freeze_table_age",
    "wal_compression",
    "wal_level",
    "work_mem",
];
const COMMENTED: [&str; 3] = [
    "max_connections",
    "shared_buffers",
    "shared_preload_libraries",
];

/// Names and values, by name.
pub(super) type Settings = BTreeMap<String, String>;

/// What travels with the data.
#[derive(Debug, Default)]
pub(super) struct SourceSettings {
    /// The server's, as far as they are not the default.
    pub server: Settings,
    /// Told, and not taken over.
    pub commented: Settings,
    /// `ALTER DATABASE … SET`.
    pub database: Settings,
    /// `ALTER ROLE … SET`, for this database or all.
    pub roles: BTreeMap<String, Settings>,
}

/// Asks the server, in a session that has set nothing yet: what it sets hides what the file has.
pub(super) async fn read(client: &Client) -> Result<SourceSettings> {
    let unread = |error| failed("cannot read the settings", error);
    let mut settings = SourceSettings::default();
    let rows = client
        .query(
            "SELECT name, setting || CASE WHEN unit = '8kB' THEN '' ELSE coalesce(unit, '') END
             FROM pg_catalog.pg_settings
             WHERE source IN ('configuration file', 'command line', 'environment variable', 'global')
               AND setting IS DISTINCT FROM boot_val",
            &[],
        )
        .await
        .map_err(unread)?;
    for row in &rows {
        let (name, value): (&str, &str) = (row.get(0), row.get(1));
        if TOLD.contains(&name) {
            settings.server.insert(name.to_owned(), value.to_owned());
        } else if COMMENTED.contains(&name) {
            settings.commented.insert(name.to_owned(), value.to_owned());
        }
    }
    let rows = client
        .query(
            "SELECT r.rolname::text, s.setconfig FROM pg_catalog.pg_db_role_setting AS s
             LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
             WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
             ORDER BY s.setdatabase, r.rolname",
            &[],
        )
        .await
        .map_err(unread)?;
    for row in &rows {
        let (role, pairs): (Option<String>, Vec<String>) = (row.get(0), row.get(1));
        let told = pairs
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| TOLD.iter().any(|told| told.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let place = match role {
            None => &mut settings.database,
            Some(role) => settings.roles.entry(role).or_default(),
        };
        place.extend(told);
    }
    settings.roles.retain(|_, own| !own.is_empty());
    Ok(settings)
}

impl SourceSettings {
    /// The fragment of `postgresql.conf`.
    pub fn fragment(&self) -> String {
        let mut text = "# The source's settings that decide how long locks are held, as far as they are not the default.\n".to_owned();
        let line = |(name, value): (&String, &String)| {
            format!(
                "{name} = '{}'\n",
                value
                    .replace('\\', "\\\\")
                    .replace('\'', "''")
                    .replace('\n', " ")
            )
        };
        text.extend(self.server.iter().map(line));
        if !self.commented.is_empty() {
            text.push_str("# The source's machine and libraries; a stage may not have them.\n");
            text.extend(
                self.commented
                    .iter()
                    .map(|pair| format!("# {}", line(pair))),
            );
        }
        text
    }
}
