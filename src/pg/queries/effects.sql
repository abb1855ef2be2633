-- Relations of the user's with what tells whether they were changed: how they are defined, and rows that were changed
-- and committed. `n_mod_since_analyze` counts no row of a transaction that was rolled back; analyzing sets it to 0.
-- `maintained` is VACUUM and ANALYZE by hand. Rows of large objects are in pg_largeobject.
SELECT c.oid,
       CASE WHEN n.nspname = 'public' THEN format('%I', c.relname)
            ELSE format('%I.%I', n.nspname, c.relname) END AS name,
       CASE WHEN c.oid >= 16384 THEN concat_ws(' ', c.xmin, a.columns, a.written) ELSE '' END AS definition,
       coalesce(pg_catalog.pg_stat_get_mod_since_analyze(c.oid), 0) AS committed,
       coalesce(pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
                + pg_catalog.pg_stat_get_tuples_deleted(c.oid), 0) AS attempted,
       coalesce(pg_catalog.pg_stat_get_analyze_count(c.oid)
                + pg_catalog.pg_stat_get_autoanalyze_count(c.oid), 0) AS analyzed,
       coalesce(pg_catalog.pg_stat_get_analyze_count(c.oid)
                + pg_catalog.pg_stat_get_vacuum_count(c.oid), 0) AS maintained
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN (SELECT attrelid, pg_catalog.count(*) AS columns, pg_catalog.sum(xmin::text::bigint) AS written
               FROM pg_catalog.pg_attribute WHERE attrelid >= 16384 GROUP BY attrelid) a ON a.attrelid = c.oid
 WHERE c.relkind <> 't' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_toast'
   AND (c.oid >= 16384 OR c.oid = 'pg_catalog.pg_largeobject'::regclass)
