-- Takes a moment, and ACCESS EXCLUSIVE for it.
DROP TRIGGER listings_touched ON listings_listing;
