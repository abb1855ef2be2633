-- What of the slow things is at work in this database: its kind, its table, the server's word for its phase.
SELECT w.kind, n.nspname || '.' || c.relname, w.phase
FROM (
    SELECT 'index on' AS kind, datid, relid, phase FROM pg_catalog.pg_stat_progress_create_index
    UNION ALL SELECT 'vacuum of', datid, relid, phase FROM pg_catalog.pg_stat_progress_vacuum
    UNION ALL SELECT 'statistics of', datid, relid, phase FROM pg_catalog.pg_stat_progress_analyze
) AS w
JOIN pg_catalog.pg_class AS c ON c.oid = w.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE w.datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1, 2
