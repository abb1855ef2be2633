ALTER TABLE listings_listing ADD COLUMN note text;
