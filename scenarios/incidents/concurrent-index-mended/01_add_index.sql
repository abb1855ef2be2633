-- Before it may use the index, it waits for everybody whose snapshot is older, whatever they wait for themselves.
CREATE INDEX CONCURRENTLY listings_listing_title_idx ON listings_listing (title);
