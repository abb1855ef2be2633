-- gen_random_uuid() is volatile: every row needs a value of its own, so the table and all its indexes are written
-- anew while nobody can read it. A constant default would be stored once in the catalogue, with no rewrite.
ALTER TABLE listings_listing
    ADD COLUMN public_id uuid DEFAULT gen_random_uuid() NOT NULL;
