-- How many bytes each COPY into a table of this database has read; 14 and later.
SELECT n.nspname || '.' || c.relname, p.bytes_processed
FROM pg_catalog.pg_stat_progress_copy AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND p.command = 'COPY FROM'
