-- One file, one transaction: ACCESS EXCLUSIVE, taken for the column, is kept until the index is built.
ALTER TABLE listings_listing ADD COLUMN note text;
CREATE INDEX listings_listing_title_idx ON listings_listing (title);
