-- The backfill left a dead version of every row, so autovacuum comes, and the next ALTER TABLE would stand behind it, with
-- everybody else behind the ALTER, until the server cancels the worker after deadlock_timeout, a second. VACUUM may wait
-- for a worker as long as it likes: nobody queues behind it. TRUNCATE would take ACCESS EXCLUSIVE at its end.
VACUUM (ANALYZE, TRUNCATE false) listings_listing;
