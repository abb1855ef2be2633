ALTER TABLE listings_photo ADD COLUMN caption text;
