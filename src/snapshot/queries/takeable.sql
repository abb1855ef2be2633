-- What pg_dump would take, with its size; what belongs to an extension or to a session is not ours to
-- choose. The sizes wait for whoever holds a table in ACCESS EXCLUSIVE, as long as lock_timeout allows.
SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted,
       c.relkind::text AS kind,
       c.relpersistence = 'u' AS unlogged,
       pg_catalog.pg_table_is_visible(c.oid) AS visible,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
       -- As in tables.sql: what was never analyzed is not known.
       CASE WHEN c.relkind NOT IN ('r', 'm') THEN greatest(c.reltuples, 0)
            WHEN c.reltuples >= 0 AND c.relpages > 0 THEN c.reltuples
            WHEN pg_catalog.pg_relation_size(c.oid) = 0 THEN 0
       END::float8 AS rows,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END AS bytes,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_total_relation_size(c.oid) ELSE 0 END AS total,
       ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid) AS parents,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum) AS columns
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
