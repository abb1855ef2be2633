-- The user's tables with estimated rows and all their bytes (indexes and TOAST too): for reports and projections.
-- Bloat is what the file has beyond the pages that its rows need, by their average width: 24 bytes of a row's
-- header, 4 of its pointer, 24 of a page's. Padding between columns is not known, so it is an estimate.
WITH widths AS (
    SELECT schemaname, tablename, ceil(sum((1 - null_frac) * avg_width) / 8) * 8 AS width
    FROM pg_catalog.pg_stats
    WHERE NOT inherited
    GROUP BY schemaname, tablename
)
SELECT CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END || quote_ident(c.relname) AS name,
       -- Never analyzed: -1, before 14 nought with no page. What has no page has no row; a partitioned table has only those
       -- of its partitions.
       CASE WHEN c.relkind = 'p' THEN greatest(c.reltuples, 0)
            WHEN c.reltuples >= 0 AND c.relpages > 0 THEN c.reltuples
            WHEN pg_relation_size(c.oid) = 0 THEN 0
       END::float8 AS rows,
       pg_total_relation_size(c.oid) AS bytes,
       pg_stat_get_dead_tuples(c.oid) AS dead_rows,
       CASE WHEN c.relkind = 'r' AND c.relpages >= 8 AND c.reltuples > 0
            THEN greatest(0, 100 * (1 - ceil(c.reltuples * (28 + w.width) / (8168 * fill.factor / 100.0)) / c.relpages))::int4
       END AS bloat_percent,
       to_char(greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AT TIME ZONE 'UTC',
               'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS analyzed_at
FROM pg_catalog.pg_class AS c
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     LEFT JOIN widths AS w ON w.schemaname = n.nspname AND w.tablename = c.relname
     CROSS JOIN LATERAL (
         SELECT coalesce(max(option_value::float8), 100) AS factor
         FROM pg_options_to_table(c.reloptions)
         WHERE option_name = 'fillfactor'
     ) AS fill
WHERE c.relkind IN ('r', 'p')
  AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\_%'
