-- One batch, as published. It finds its rows from the start of the primary key each time, past all those that are
-- filled already, so batches get slower as the backfill goes on.
UPDATE listings_listing
SET category_v2 = category
WHERE id IN (
    SELECT id
    FROM listings_listing
    WHERE category_v2 IS NULL
    ORDER BY id
    LIMIT ${batch_size}
);
