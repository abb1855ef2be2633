-- Takes no ACCESS EXCLUSIVE on the table, but on each index in turn, and a query has to look at every index of a table
-- to be planned at all: readers wait as well, whichever index they would have used.
REINDEX TABLE listings_listing;
