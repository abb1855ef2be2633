-- How many indexes and foreign keys this database has, those of the server itself and of TOAST aside.
SELECT (SELECT count(*) FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
        WHERE c.oid >= 16384 AND c.relkind <> 't')
     + (SELECT count(*) FROM pg_catalog.pg_constraint
        WHERE contype = 'f' AND conrelid >= 16384 AND conparentid = 0)
