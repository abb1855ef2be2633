-- Nullable and without a default: a change of the catalogue only.
ALTER TABLE listings_listing ADD COLUMN category_v2 varchar(64);
