-- What is held in a mode that blocks writes or reads, and what is waited for, now.
-- No catalogue here: a migration that locks pg_class would block the very query that watches it.
-- These modes never take the fast path, so the rows are one consistent snapshot.
-- A lock on a tuple, a page or a file's end names its relation as well, in modes that would mean another
-- thing of the relation itself: a wait for a row that is to be deleted is one for AccessExclusiveLock.
SELECT pid, CASE WHEN locktype = 'relation' THEN relation END AS relation, mode, granted, virtualtransaction
  FROM pg_catalog.pg_locks
 WHERE (NOT granted
        OR (locktype = 'relation'
            AND mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')))
   AND (database = $1 OR database = 0 OR database IS NULL)
   AND pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
