ALTER TABLE listings_listing ADD COLUMN photo_count integer;
