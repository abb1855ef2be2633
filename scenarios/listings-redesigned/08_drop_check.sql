-- The column's own NOT NULL has taken over. In a command of its own: together with SET NOT NULL the proof would be
-- gone before it is used, and the scan would be back.
ALTER TABLE listings_listing DROP CONSTRAINT listings_listing_category_v2_filled;
