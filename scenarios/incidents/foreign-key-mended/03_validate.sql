-- ROW SHARE on the listings, as a SELECT … FOR SHARE takes it: nobody waits.
ALTER TABLE listings_favourite VALIDATE CONSTRAINT listings_favourite_listing_id_fk;
