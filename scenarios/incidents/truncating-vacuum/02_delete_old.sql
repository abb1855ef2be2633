-- In batches, each committed: nobody waits for this.
WITH batch AS (
    SELECT id FROM listings_listing
    WHERE id > greatest(${after}::bigint, ${rows}::bigint * 2 / 5) ORDER BY id LIMIT ${batch_size}
), gone AS (
    DELETE FROM listings_listing l USING batch WHERE l.id = batch.id
)
SELECT count(*) AS rows, max(id) AS after FROM batch
