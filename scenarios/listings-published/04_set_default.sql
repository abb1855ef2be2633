-- Applies to later inserts: a change of the catalogue only. Between the step before and this one, an insert that does
-- not name the column fails.
ALTER TABLE listings_listing ALTER COLUMN category_v2 SET DEFAULT 'uncategorised';
