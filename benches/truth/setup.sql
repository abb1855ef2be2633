CREATE SCHEMA truth;

-- What the clock witness reads, see marks.rs.
CREATE TABLE truth.marks (n bigserial, relation text NOT NULL, kind text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());

CREATE TABLE sentinel (a int);
CREATE TABLE cost (a int);

-- Stays for a while, asleep or at work; gives back what it got. `marked`: the table whose lock is held.
CREATE FUNCTION truth.stay(value int, ms float8, busy bool, marked text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE till timestamptz := clock_timestamp() + ms * interval '1 millisecond';
BEGIN
    IF marked IS NOT NULL THEN INSERT INTO truth.marks (relation, kind) VALUES (marked, 'held'); END IF;
    IF busy THEN
        WHILE clock_timestamp() < till LOOP END LOOP;
    ELSE
        PERFORM pg_sleep(ms / 1000);
    END IF;
    IF marked IS NOT NULL THEN INSERT INTO truth.marks (relation, kind) VALUES (marked, 'ending'); END IF;
    RETURN value;
END $$;

-- One batch: locks the table whose turn it is, and stays.
CREATE FUNCTION truth.batch(tables text[], ms float8[], busy bool[], mark bool, "from" int, OUT rows int, OUT after int)
LANGUAGE plpgsql AS $$
DECLARE
    turn int := "from" + 1;
BEGIN
    after := "from";
    rows := 0;
    -- The transaction of the batch before is over.
    IF mark AND turn > 1 THEN INSERT INTO truth.marks (relation, kind) VALUES (tables[turn - 1], 'ended'); END IF;
    IF turn > cardinality(tables) THEN RETURN; END IF;
    IF mark THEN INSERT INTO truth.marks (relation, kind) VALUES (tables[turn], 'asking'); END IF;
    EXECUTE format('LOCK TABLE %I', tables[turn]);
    PERFORM truth.stay(0, ms[turn], busy[turn], CASE WHEN mark THEN tables[turn] END);
    rows := 1;
    after := turn;
END $$;

-- What the steps lock.
DO $$ BEGIN
    FOR n IN 0..199 LOOP
        EXECUTE format('CREATE TABLE t%s (a int PRIMARY KEY, b int)', n);
        EXECUTE format('INSERT INTO t%s VALUES (1, 1)', n);
    END LOOP;
END $$;

ANALYZE;
CHECKPOINT;
