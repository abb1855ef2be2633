-- Clients in any database that are none of these processes. A role without rights sees no kind of others' sessions: with
-- a database they count as clients.
SELECT a.application_name
FROM pg_catalog.pg_stat_get_activity(NULL) AS a
WHERE (a.backend_type = 'client backend' OR a.backend_type IS NULL AND a.datid IS NOT NULL)
  AND a.pid <> ALL ($1::int4[])
ORDER BY 1
