-- What of this database can reach out of its server, as far as the catalogue tells; for 12 to 18.
-- `options` are `name=value`; they are reduced before they are told. User mappings are not read at all.
WITH reaching AS (
    SELECT e.oid, e.extname
    FROM pg_catalog.pg_extension AS e
    WHERE e.extname ~ '_fdws?$'
       OR e.extname IN (
           'adminpack', 'amqp', 'aws_commons', 'aws_lambda', 'aws_ml', 'aws_s3', 'azure_ai', 'azure_storage',
           'bdr', 'citus', 'dblink', 'dblink_plus', 'google_ml_integration', 'http', 'londiste', 'multicorn',
           'pg_cron', 'pg_curl', 'pg_dbms_job', 'pg_duckdb', 'pg_kafka', 'pg_lake', 'pg_later', 'pg_net',
           'pg_parquet', 'pg_smtp_client', 'pg_task', 'pg_timetable', 'pgagent', 'pgai', 'pgautofailover',
           'pgl_ddl_deploy', 'pglogical', 'pglogical_ticker', 'pgmemcache', 'pgml', 'pgq_node', 'plproxy',
           'plsh', 'redis', 'spock', 'timescaledb', 'vectorize', 'wrappers'
       )
), member AS (
    SELECT d.classid, d.objid
    FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
)
SELECT 'foreign_server' AS kind, s.srvname::text AS name, w.fdwname::text AS detail, s.srvoptions AS options
FROM pg_catalog.pg_foreign_server AS s
JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
UNION ALL
SELECT 'foreign_data_wrapper', w.fdwname::text, NULL, w.fdwoptions
FROM pg_catalog.pg_foreign_data_wrapper AS w
WHERE NOT EXISTS (
    SELECT FROM member AS m WHERE m.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass AND m.objid = w.oid
)
UNION ALL
-- A table that is a file of the server or what a program prints.
SELECT 'foreign_table', format('%I.%I', n.nspname, c.relname), s.srvname::text, t.ftoptions
FROM pg_catalog.pg_foreign_table AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.ftrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_foreign_server AS s ON s.oid = t.ftserver
WHERE EXISTS (SELECT FROM unnest(t.ftoptions) AS o WHERE o ~ '^(program|filename)=')
UNION ALL
SELECT 'extension', r.extname::text, NULL, NULL
FROM reaching AS r
UNION ALL
SELECT 'language', l.lanname::text, 'untrusted', NULL
FROM pg_catalog.pg_language AS l
WHERE l.lanispl AND NOT l.lanpltrusted
UNION ALL
SELECT 'function', f.name, f.detail, NULL
FROM (
    SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) AS name,
           CASE
               WHEN l.lanname = 'c' THEN 'C code of no extension'
               WHEN l.lanispl AND NOT l.lanpltrusted THEN 'in ' || l.lanname
               WHEN p.prosrc ~* '\mdblink' THEN 'mentions dblink'
               WHEN p.prosrc ~* '\mcopy\M.*\mprogram\M' THEN 'mentions COPY … PROGRAM'
               WHEN p.prosrc ~* '\msubscription\M' THEN 'mentions SUBSCRIPTION'
               WHEN p.prosrc ~* '\mforeign\s+(server|data)\M|\mcreate\s+server\M|\muser\s+mapping\M'
                   THEN 'mentions foreign servers'
               WHEN p.prosrc ~* '\mload\s+''' THEN 'mentions LOAD'
               ELSE (
                   SELECT 'calls ' || r.extname
                   FROM pg_catalog.pg_depend AS d
                   JOIN pg_catalog.pg_depend AS m
                     ON m.classid = d.refclassid AND m.objid = d.refobjid AND m.deptype = 'e'
                    AND m.refclassid = 'pg_catalog.pg_extension'::regclass
                   JOIN reaching AS r ON r.oid = m.refobjid
                   WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
                     AND d.refclassid = 'pg_catalog.pg_proc'::regclass
                   ORDER BY r.extname
                   LIMIT 1
               )
           END AS detail
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    -- Those below came with the server.
    WHERE p.oid >= 16384
      AND l.lanname <> 'internal'
      AND NOT EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = p.oid)
) AS f
WHERE f.detail IS NOT NULL
UNION ALL
SELECT 'login_trigger', t.evtname::text, format('%I.%I()', n.nspname, p.proname), NULL
FROM pg_catalog.pg_event_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.evtfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE t.evtevent = 'login' AND t.evtenabled <> 'D'
UNION ALL
SELECT 'library', trim(BOTH ' "' FROM library), s.name, NULL
FROM pg_catalog.pg_settings AS s
CROSS JOIN LATERAL regexp_split_to_table(s.setting, ',') AS library
WHERE s.name IN ('shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries')
  -- What a role or the database has is told below, by its own name.
  AND s.source NOT IN ('database', 'user', 'database user')
UNION ALL
SELECT 'library',
       trim(BOTH ' "' FROM library),
       concat(
           split_part(config, '=', 1),
           ' of role ' || quote_ident(pg_catalog.pg_get_userbyid(nullif(x.setrole, 0))),
           ' of database ' || quote_ident(d.datname)
       ),
       NULL
FROM pg_catalog.pg_db_role_setting AS x
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = x.setdatabase
CROSS JOIN LATERAL unnest(x.setconfig) AS config
CROSS JOIN LATERAL regexp_split_to_table(substring(config FROM '=(.*)$'), ',') AS library
WHERE split_part(config, '=', 1) IN ('session_preload_libraries', 'local_preload_libraries')
