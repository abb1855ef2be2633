-- Foreign keys that are restored as proved; those of partitions come with their table's.
SELECT quote_ident(k.conname) AS name, k.conrelid AS of, k.confrelid AS to,
       ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
             ORDER BY u.place)::text[] AS own,
       ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.number
             ORDER BY u.place)::text[] AS others
FROM pg_catalog.pg_constraint AS k
WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0
ORDER BY k.conname, k.oid
