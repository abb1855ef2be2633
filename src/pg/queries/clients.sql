-- Clients' sessions and the transactions that they write in.
SELECT pid, coalesce(application_name, '') AS application, backend_xid::text AS xid
  FROM pg_catalog.pg_stat_get_activity(NULL)
 WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
