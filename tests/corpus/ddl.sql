-- Statements that are awkward to split, for a real parser and ours to agree about.
-- Each is valid SQL by itself; together they are no migration.

BEGIN;
SET LOCAL lock_timeout = '2s';
SET SESSION statement_timeout TO DEFAULT;
CREATE SCHEMA IF NOT EXISTS "semi;colon";
CREATE TABLE listings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- a ; in a comment
    title text NOT NULL DEFAULT 'it''s; here',
    price numeric(10, 2) CHECK (price > 0), /* and ; here /* nested ; */ too ; */
    "odd;name" text COLLATE "C",
    tags text[] DEFAULT '{}'::text[],
    created timestamptz DEFAULT now()
);
CREATE TABLE measurements (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE measurements_2024 PARTITION OF measurements FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
ALTER TABLE measurements ATTACH PARTITION measurements_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
ALTER TABLE measurements DETACH PARTITION measurements_2024 CONCURRENTLY;
ALTER TABLE ONLY public.listings ADD COLUMN note text DEFAULT $$;$$, ALTER COLUMN price SET NOT NULL;
ALTER TABLE listings ADD CONSTRAINT positive CHECK (price > 0) NOT VALID;
ALTER TABLE listings VALIDATE CONSTRAINT positive;
ALTER TABLE listings ADD CONSTRAINT owner_fk FOREIGN KEY (owner) REFERENCES owners (id) ON DELETE CASCADE NOT VALID;
ALTER TABLE listings ALTER COLUMN price TYPE bigint USING (price * 100)::bigint;
ALTER TABLE listings RENAME COLUMN title TO "title;";
ALTER TABLE listings SET (fillfactor = 70, autovacuum_enabled = false);
ALTER TABLE listings DISABLE TRIGGER ALL;
ALTER TABLE listings REPLICA IDENTITY FULL
;
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS listings_title ON listings USING btree (lower(title), price DESC NULLS LAST) INCLUDE (id) WHERE price > 10;
DROP INDEX CONCURRENTLY IF EXISTS listings_title;
REINDEX (VERBOSE) TABLE CONCURRENTLY listings;
CREATE SEQUENCE numbers AS bigint INCREMENT BY 2 OWNED BY listings.id;CREATE TYPE mood AS ENUM ('sad;', 'ok', E'ha\'ppy;');
ALTER TYPE mood ADD VALUE IF NOT EXISTS 'great' BEFORE 'ok';
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE VIEW cheap AS SELECT id, CASE WHEN price < 10 THEN ';' ELSE U&'d\0061t\+000061' END AS kind FROM listings;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM listings WITH NO DATA;
REFRESH MATERIALIZED VIEW CONCURRENTLY totals;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.note := $q$ ; $q$ || '; $body';
    RETURN NEW;
END;
$body$;
CREATE OR REPLACE FUNCTION doubled(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE OR REPLACE FUNCTION kinds(n int) RETURNS text LANGUAGE sql
BEGIN ATOMIC
    SELECT 1;
    SELECT CASE WHEN n > 0 THEN CASE n WHEN 1 THEN 'one;' ELSE 'more' END ELSE 'less' END;
END;
CREATE PROCEDURE store(n int) LANGUAGE sql BEGIN ATOMIC INSERT INTO listings (price) VALUES (n); DELETE FROM listings WHERE price IS NULL; END;
CREATE TRIGGER touched BEFORE INSERT OR UPDATE OF title ON listings FOR EACH ROW WHEN (NEW.title <> ';') EXECUTE FUNCTION touch();
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watched();
CREATE RULE copies AS ON INSERT TO listings DO ALSO (INSERT INTO log VALUES (NEW.id); UPDATE counts SET n = n + 1);
CREATE POLICY own ON listings FOR SELECT TO app USING (owner = current_user);
CREATE STATISTICS correlated (dependencies) ON title, price FROM listings;
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
CREATE AGGREGATE total (numeric) (SFUNC = numeric_add, STYPE = numeric, INITCOND = '0');
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE ROLE app LOGIN PASSWORD 'hunter;2';
GRANT SELECT, INSERT (title) ON listings TO app;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO app;
COMMENT ON COLUMN listings.title IS 'the title; a '
    'continued one';
COMMENT ON FUNCTION touch() IS NULL;
DO $$ BEGIN EXECUTE 'ANALYZE; '; END $$;
DO LANGUAGE plpgsql $été$ BEGIN PERFORM $1$; END $été$;
INSERT INTO listings (title) SELECT 'a' || E'\\' || ';' FROM generate_series(1, 10) AS g (n) WHERE n%2=0 AND n<>-1;
WITH moved AS (DELETE FROM listings WHERE price = 1.5e3 RETURNING *) INSERT INTO archive SELECT * FROM moved;
UPDATE listings SET tags = tags[1:2], note = x'1F'::text WHERE id = ANY (ARRAY[1,2]) AND title ~ '^;';
MERGE INTO listings AS l USING staged AS s ON l.id = s.id WHEN MATCHED THEN UPDATE SET price = s.price WHEN NOT MATCHED THEN INSERT (price) VALUES (s.price);
TRUNCATE TABLE archive, log RESTART IDENTITY CASCADE;
LOCK TABLE listings IN ACCESS EXCLUSIVE MODE NOWAIT;
VACUUM (FULL, ANALYZE) listings;
CLUSTER listings USING listings_pkey;
SAVEPOINT a;
ROLLBACK TO SAVEPOINT a;
RELEASE SAVEPOINT a;
CREATE TABLE "été" (données text, _$money$ int);
DROP TABLE IF EXISTS archive, "semi;colon"."a""b;" CASCADE; /* last ; */
;;
COMMIT AND CHAIN -- no semicolon at the end;
