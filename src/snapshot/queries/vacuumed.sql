-- What has been vacuumed since a moment, whole (NULL), or the bytes of it by now.
SELECT oid, NULL::int8 FROM pg_catalog.pg_class
WHERE relkind IN ('r', 'm') AND pg_catalog.pg_stat_get_last_vacuum_time(oid) >= $1::text::timestamptz
UNION ALL
SELECT relid, heap_blks_scanned * pg_catalog.current_setting('block_size')::int8
FROM pg_catalog.pg_stat_progress_vacuum WHERE datname = pg_catalog.current_database()
