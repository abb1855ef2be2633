-- Settings of the migration's own session that decide how long a lock is held or whether a
-- statement rewrites at all, and whatever its role or its database sets. `reset_val` is what a new
-- session starts with: the one that asks has timeouts of its own. A setting with a dot is left
-- out: it may be a secret of an application.
SELECT name, reset_val || coalesce(unit, '') AS value
  FROM pg_catalog.pg_settings
 WHERE name IN ('TimeZone', 'autovacuum', 'checkpoint_timeout', 'deadlock_timeout',
                'default_transaction_isolation', 'fsync', 'full_page_writes',
                'idle_in_transaction_session_timeout', 'lock_timeout', 'maintenance_work_mem',
                'max_parallel_maintenance_workers', 'max_wal_size', 'search_path', 'shared_buffers',
                'shared_preload_libraries', 'statement_timeout', 'synchronous_commit',
                'synchronous_standby_names', 'transaction_timeout', 'wal_compression', 'wal_level',
                'work_mem')
    OR source IN ('database', 'user', 'database user') AND name NOT LIKE '%.%'
 ORDER BY name
