-- Sessions that clients ever opened, in any database; since PostgreSQL 14.
SELECT coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_db_sessions(oid)), 0)::bigint FROM pg_catalog.pg_database
