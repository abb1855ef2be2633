-- One batch: the keys that follow the last one, so that each batch costs the same, however far it has come.
-- IS DISTINCT FROM also corrects rows that the running application inserted with the default, and makes a second run
-- after an interruption pass over finished rows without writing them. `rows` counts keys visited, not rows changed:
-- a stretch with nothing to change is not the end.
WITH batch AS (
    SELECT id
    FROM listings_listing
    WHERE id > ${after}::bigint
    ORDER BY id
    LIMIT ${batch_size}
), filled AS (
    UPDATE listings_listing AS listing
    SET category_v2 = listing.category
    FROM batch
    WHERE listing.id = batch.id
      AND listing.category_v2 IS DISTINCT FROM listing.category
)
SELECT count(*) AS rows, max(id) AS after
FROM batch;
