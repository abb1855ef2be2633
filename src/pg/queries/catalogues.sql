-- The system's own tables whose rows only commands change: what ANALYZE writes is autovacuum's as well. Those that the
-- session may not read are left out.
SELECT relname::text
  FROM pg_catalog.pg_class
 WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND oid < 16384
   AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject')
   AND pg_catalog.has_table_privilege(oid, 'SELECT')
 ORDER BY relname
