-- NOT VALID: new and changed rows are checked from here on, old ones are not read yet. A change of the catalogue only.
ALTER TABLE listings_listing
    ADD CONSTRAINT listings_listing_category_v2_filled CHECK (category_v2 IS NOT NULL) NOT VALID;
