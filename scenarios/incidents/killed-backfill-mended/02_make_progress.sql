CREATE TABLE listing_count_progress (after bigint NOT NULL);
INSERT INTO listing_count_progress VALUES (0);
