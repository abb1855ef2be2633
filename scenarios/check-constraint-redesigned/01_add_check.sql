-- NOT VALID: new and changed rows are tested from here on, old ones are not read yet.
ALTER TABLE listings_listing
    ADD CONSTRAINT listings_listing_price_not_negative CHECK (price >= 0) NOT VALID;
