-- What is read before a run: tables first, the small ones last, then indexes, so that these stay in memory longest.
SELECT c.oid,
       c.relkind::text AS kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       pg_relation_size(c.oid) AS bytes
FROM pg_catalog.pg_class AS c
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'i', 'm', 't')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND pg_relation_size(c.oid) > 0
ORDER BY c.relkind = 'i', bytes DESC
