-- Two tables in one transaction, the listings first. The application takes the photos first.
ALTER TABLE listings_listing ADD COLUMN photo_count integer;
ALTER TABLE listings_photo ADD COLUMN caption text;
