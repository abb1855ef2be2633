#!/bin/sh
# Adds up the listings of each seller, a tenth of them at a time, each in a transaction of its own. It takes where it
# is from its own variables: killed, it begins again at the beginning. KILLED_IN names a batch that is its end: `psql`
# is killed in the middle of the transaction.
set -eu
last=$(psql -XqAt -v ON_ERROR_STOP=1 -c 'SELECT max(id) FROM listings_listing')
step=$(( last / 10 + 1 ))
after=0
batch=1
while [ "$after" -lt "$last" ]; do
    die=
    if [ "$batch" = "${KILLED_IN-}" ]; then die='\! kill -9 $PPID'; fi
    psql -Xq -v ON_ERROR_STOP=1 -v after="$after" -v until=$(( after + step )) <<SQL
BEGIN;
UPDATE listings_seller s SET listing_count = s.listing_count + c.listings
FROM (SELECT seller_id, count(*) AS listings FROM listings_listing WHERE id > :after AND id <= :until GROUP BY 1) c
WHERE s.id = c.seller_id;
$die
COMMIT;
SQL
    after=$(( after + step ))
    batch=$(( batch + 1 ))
done
