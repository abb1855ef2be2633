-- Every relation with its name, its table, its file and its counters; read before and after a step.
-- An index belongs to its table, a TOAST relation to the table whose values it keeps.
SELECT c.oid,
       CASE WHEN n.nspname = 'public' THEN format('%I', c.relname)
            ELSE format('%I.%I', n.nspname, c.relname) END AS name,
       c.relkind::text AS kind,
       CASE WHEN pn.nspname = 'public' THEN format('%I', p.relname)
            WHEN p.oid IS NOT NULL THEN format('%I.%I', pn.nspname, p.relname) END AS parent,
       coalesce(pg_catalog.pg_relation_filenode(c.oid), 0) AS file,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_numscans(c.oid) ELSE 0 END AS scans,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_tuples_returned(c.oid) ELSE 0 END AS rows_scanned,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_blocks_fetched(c.oid) ELSE 0 END AS blocks
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  LEFT JOIN pg_catalog.pg_class t ON t.reltoastrelid = coalesce(i.indrelid, c.oid) AND n.nspname = 'pg_toast'
  LEFT JOIN pg_catalog.pg_class p ON p.oid = coalesce(t.oid, i.indrelid)
  LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
