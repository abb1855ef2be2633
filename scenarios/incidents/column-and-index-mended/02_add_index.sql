-- SHARE UPDATE EXCLUSIVE: reads and writes go on, and the table is scanned twice.
CREATE INDEX CONCURRENTLY listings_listing_title_idx ON listings_listing (title);
