-- Collations that columns of the user have, and whose version is not the one that their indexes were built under.
SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) AS name,
       l.collprovider::text AS provider,
       coalesce(row_to_json(l) ->> 'colllocale', row_to_json(l) ->> 'colliculocale', l.collcollate::text) AS locale,
       l.collversion AS recorded,
       pg_collation_actual_version(l.oid) AS actual
FROM pg_catalog.pg_collation AS l
     JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
WHERE l.collversion IS NOT NULL
  AND l.oid IN (SELECT a.attcollation
                FROM pg_catalog.pg_attribute AS a
                     JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
                     JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
                WHERE s.nspname NOT IN ('pg_catalog', 'information_schema'))
  AND l.collversion IS DISTINCT FROM pg_collation_actual_version(l.oid)
