-- Reads every row, under SHARE UPDATE EXCLUSIVE: reads and writes go on. In a step of its own, since in the
-- transaction of the step before it would run under that one's ACCESS EXCLUSIVE.
ALTER TABLE listings_listing VALIDATE CONSTRAINT listings_listing_category_v2_filled;
