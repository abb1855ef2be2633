-- The new table is empty and nobody knows it yet, but SHARE ROW EXCLUSIVE is taken on both ends: the key's triggers
-- are put on the listings as well.
ALTER TABLE listings_favourite
    ADD CONSTRAINT listings_favourite_listing_id_fk FOREIGN KEY (listing_id) REFERENCES listings_listing (id);
