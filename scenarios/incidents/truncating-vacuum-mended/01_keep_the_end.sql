-- SHARE UPDATE EXCLUSIVE. The empty pages stay, and are filled again by what comes next.
ALTER TABLE listings_listing SET (vacuum_truncate = off);
