#!/bin/sh
# Adds up the listings of each seller, a tenth of them at a time, each in a transaction of its own, which also writes
# down how far it is: what was counted and what is said to be counted are committed together or not at all. KILLED_IN
# names a batch that is its end: `psql` is killed in the middle of the transaction.
set -eu
ask() { psql -XqAt -v ON_ERROR_STOP=1 -c "$1"; }
last=$(ask 'SELECT max(id) FROM listings_listing')
step=$(( last / 10 + 1 ))
batch=1
while [ "$(ask 'SELECT after FROM listing_count_progress')" -lt "$last" ]; do
    die=
    if [ "$batch" = "${KILLED_IN-}" ]; then die='\! kill -9 $PPID'; fi
    psql -Xq -v ON_ERROR_STOP=1 -v step="$step" <<SQL
BEGIN;
SELECT after FROM listing_count_progress FOR UPDATE \\gset
UPDATE listings_seller s SET listing_count = s.listing_count + c.listings
FROM (
    SELECT seller_id, count(*) AS listings FROM listings_listing
    WHERE id > :after AND id <= :after + :step GROUP BY 1
) c
WHERE s.id = c.seller_id;
UPDATE listing_count_progress SET after = after + :step;
$die
COMMIT;
SQL
    batch=$(( batch + 1 ))
done
