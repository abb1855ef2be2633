-- Valid from the start means that every row is read and tested before the command ends and its lock is released.
ALTER TABLE listings_listing
    ADD CONSTRAINT listings_listing_price_not_negative CHECK (price >= 0);
