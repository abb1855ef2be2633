-- What is held in a mode that blocks writes or reads, and what is waited for, now.
-- No catalogue here: a migration that locks pg_class would block the very query that watches it.
-- These modes never take the fast path, so the rows are one consistent snapshot.
SELECT pid, relation, mode, granted, virtualtransaction
  FROM pg_catalog.pg_locks
 WHERE (NOT granted
        OR (locktype = 'relation'
            AND mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')))
   AND (database = $1 OR database = 0 OR database IS NULL)
   AND pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
