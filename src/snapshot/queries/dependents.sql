-- Views that a restore could not make without one of these tables.
SELECT DISTINCT v.oid, quote_ident(n.nspname) || '.' || quote_ident(v.relname) AS name,
       quote_ident(m.nspname) || '.' || quote_ident(t.relname) AS needs
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_class'::regclass
JOIN pg_catalog.pg_namespace AS m ON m.oid = t.relnamespace
WHERE d.refobjid = ANY($1) AND v.oid <> ALL($1)
ORDER BY 2, 3
