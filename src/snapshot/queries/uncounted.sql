-- Tables that were never analyzed and are not empty, the smallest first, as far as they are quickly counted.
WITH unknown AS (
    SELECT c.oid, n.nspname, c.relname, pg_relation_size(c.oid) AS bytes
    FROM pg_catalog.pg_class AS c
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r'
      AND c.relpersistence <> 't'
      AND NOT (c.reltuples >= 0 AND c.relpages > 0)
      AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname NOT LIKE 'pg\_%'
), running AS (
    SELECT *, sum(bytes) OVER (ORDER BY bytes, oid)::int8 AS together
    FROM unknown
    WHERE bytes > 0 AND bytes <= $1
)
-- The name is as in tables.sql.
SELECT CASE WHEN nspname = 'public' THEN '' ELSE quote_ident(nspname) || '.' END || quote_ident(relname) AS name,
       quote_ident(nspname) || '.' || quote_ident(relname) AS qualified
FROM running
WHERE together <= $2
ORDER BY bytes, oid
LIMIT $3
