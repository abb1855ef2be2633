-- What VACUUM goes through, with its size, and the server's time now.
SELECT oid, pg_catalog.pg_relation_size(oid), pg_catalog.clock_timestamp()::text
FROM pg_catalog.pg_class WHERE relkind IN ('r', 'm')
