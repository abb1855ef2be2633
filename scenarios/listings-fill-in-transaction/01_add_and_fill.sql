-- What one atomic migration of a framework comes to. The ALTER takes milliseconds, but a lock is given back at commit
-- and not before, so the UPDATE of every row below runs under it.
ALTER TABLE listings_listing ADD COLUMN category_v2 varchar(64);

UPDATE listings_listing SET category_v2 = category;

ALTER TABLE listings_listing ALTER COLUMN category_v2 SET NOT NULL;

ALTER TABLE listings_listing ALTER COLUMN category_v2 SET DEFAULT 'uncategorised';
