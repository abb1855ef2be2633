-- Who the server processes are, what they run, and for whom those that wait for a lock wait.
-- The function, not the view: the view joins two catalogues that a migration may have locked.
SELECT pid, backend_type, application_name, leader_pid, query,
       CASE WHEN wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(pid) END AS behind
  FROM pg_catalog.pg_stat_get_activity(NULL)
 WHERE pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
