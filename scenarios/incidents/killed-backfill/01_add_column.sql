ALTER TABLE listings_seller ADD COLUMN listing_count bigint NOT NULL DEFAULT 0;
