-- Before the backfill, so that no row inserted from here on is NULL: the backfill has an end, and what it leaves is
-- complete. A constant in ADD COLUMN would be as quick, but would claim to know every old row's value.
ALTER TABLE listings_listing ALTER COLUMN category_v2 SET DEFAULT 'uncategorised';
