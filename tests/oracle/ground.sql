-- What a row of the table is measured with: noted before and after its statement, in its transaction.

CREATE SCHEMA oracle;
CREATE SCHEMA elsewhere;

-- The relations that were there, under the names that the table has for them.
CREATE TABLE oracle.before (fact text, oid oid, name text, parent text, kind "char", file oid);
-- What the transaction held before its end; a relation that it made itself has no name.
CREATE TABLE oracle.locks (fact text, oid oid, name text, mode text);
-- What it did to relations that were there.
CREATE TABLE oracle.traces (fact text, name text, rewritten boolean, scanned boolean);

CREATE FUNCTION oracle.before() RETURNS void LANGUAGE sql AS $$
    INSERT INTO oracle.before
    SELECT current_schema(), c.oid,
           CASE WHEN t.oid IS NULL THEN c.relname::text
                WHEN i.indexrelid IS NULL THEN 'toast(' || t.relname || ')'
                ELSE 'toast_index(' || t.relname || ')' END,
           p.relname, c.relkind, pg_relation_filenode(c.oid)
      FROM pg_class c
      LEFT JOIN pg_index i ON i.indexrelid = c.oid
      LEFT JOIN pg_class t ON t.reltoastrelid = coalesce(i.indrelid, c.oid)
      LEFT JOIN pg_class p ON p.oid = coalesce(t.oid, i.indrelid)
     WHERE coalesce(t.relnamespace, c.relnamespace) = current_schema()::regnamespace
       AND c.relkind <> 'c'
$$;

-- The watched modes of a catalogue count as well; in the weak ones everything touches them.
CREATE FUNCTION oracle.after() RETURNS void LANGUAGE sql AS $$
    INSERT INTO oracle.locks
    SELECT current_schema(), l.relation,
           coalesce(b.name, CASE WHEN l.relation < 16384 THEN l.relation::regclass::text END), l.mode
      FROM pg_locks l
      LEFT JOIN oracle.before b ON b.oid = l.relation AND b.fact = current_schema()
      LEFT JOIN pg_class c ON c.oid = l.relation
     WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
       AND c.relnamespace IS DISTINCT FROM 'oracle'::regnamespace
       AND (l.relation >= 16384 OR l.mode IN
            ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'));
    INSERT INTO oracle.traces
    SELECT current_schema(), name, pg_relation_filenode(oid) <> file,
           kind <> 'i' AND pg_stat_get_xact_numscans(oid) > 0 AND pg_stat_get_xact_tuples_returned(oid) > 0
      FROM oracle.before
     WHERE fact = current_schema() AND name NOT LIKE 'toast%'
$$;

-- What a session held in each row that cannot be in a transaction, looked at all the time.
CREATE TABLE oracle.witnessed (fact text, oid oid, mode text, UNIQUE (fact, oid, mode));

-- Looks at sessions that have a row's schema for their name, from the first one to the last. Each look
-- is a transaction of its own: an old snapshot would keep CREATE INDEX CONCURRENTLY waiting.
CREATE PROCEDURE oracle.witness() LANGUAGE plpgsql AS $$
DECLARE
    begun boolean := false;
    there boolean;
BEGIN
    INSERT INTO oracle.witnessed VALUES ('at work', 0, '');
    LOOP
        COMMIT;
        INSERT INTO oracle.witnessed
        SELECT a.application_name, l.relation, l.mode
          FROM pg_stat_get_activity(NULL) a
          JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
         WHERE a.application_name LIKE 'alone%'
            ON CONFLICT DO NOTHING;
        there := EXISTS (SELECT FROM pg_stat_get_activity(NULL) WHERE application_name LIKE 'alone%');
        EXIT WHEN begun AND NOT there;
        begun := begun OR there;
    END LOOP;
END $$;

CREATE PROCEDURE oracle.wait_for_witness() LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM oracle.witnessed WHERE fact = 'at work') LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
