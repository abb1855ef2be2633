-- Nothing in the catalogue proves that no NULL is left, so the server reads the whole table to see for itself, under
-- ACCESS EXCLUSIVE. The published account calls this step metadata-only.
ALTER TABLE listings_listing ALTER COLUMN category_v2 SET NOT NULL;
