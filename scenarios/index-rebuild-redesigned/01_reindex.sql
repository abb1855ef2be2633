-- SHARE UPDATE EXCLUSIVE while it builds. ACCESS EXCLUSIVE only to drop each old index at the end, when no transaction
-- uses it any more.
REINDEX TABLE CONCURRENTLY listings_listing;
