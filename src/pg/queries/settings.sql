-- Settings of the migration's own session that decide how long a lock is held or whether a
-- statement rewrites at all. `reset_val` is what a new session starts with: the one that asks has
-- timeouts of its own.
SELECT name, reset_val || coalesce(unit, '') AS value
  FROM pg_catalog.pg_settings
 WHERE name IN ('TimeZone', 'autovacuum', 'default_transaction_isolation', 'fsync',
                'full_page_writes', 'lock_timeout', 'maintenance_work_mem',
                'max_parallel_maintenance_workers', 'max_wal_size', 'shared_buffers',
                'statement_timeout', 'synchronous_commit', 'synchronous_standby_names',
                'wal_level', 'work_mem')
 ORDER BY name
