-- As activity.sql, for a server that does not tell the leader of a parallel worker.
SELECT pid, backend_type, application_name, NULL::int AS leader_pid, query,
       CASE WHEN wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(pid) END AS behind
  FROM pg_catalog.pg_stat_get_activity(NULL)
 WHERE pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
