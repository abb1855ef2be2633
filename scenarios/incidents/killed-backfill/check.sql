-- Nothing lost, nothing counted twice.
DO $$
DECLARE
    lost bigint;
    twice bigint;
BEGIN
    SELECT count(*) FILTER (WHERE s.listing_count < c.listings), count(*) FILTER (WHERE s.listing_count > c.listings)
    INTO lost, twice
    FROM listings_seller s
    CROSS JOIN LATERAL (SELECT count(*) AS listings FROM listings_listing l WHERE l.seller_id = s.id) c;
    IF lost > 0 OR twice > 0 THEN
        RAISE EXCEPTION 'of % sellers listings were lost, of % some were counted twice', lost, twice;
    END IF;
END $$;
