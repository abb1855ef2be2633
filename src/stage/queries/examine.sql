-- Everything that tells production from a stage, in one read. A role without rights sees no kind of others' sessions:
-- with a database they count as clients.
SELECT current_database()::text AS database,
       pg_catalog.pg_is_in_recovery() AS standby,
       -- As its owner set it for the database: what a session, a role or a URL sets is no mark.
       (SELECT substr(mark.setting, length('lockproof.staging=') + 1)
        FROM pg_catalog.pg_db_role_setting AS d
        CROSS JOIN LATERAL unnest(d.setconfig) AS mark (setting)
        WHERE d.setrole = 0 AND starts_with(mark.setting, 'lockproof.staging=')
          AND d.setdatabase = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = current_database())
        LIMIT 1) AS marker,
       pg_catalog.inet_server_addr() AS address, pg_catalog.inet_server_port() AS port,
       current_setting('cluster_name') AS cluster,
       s.sessions, s.active, s.applications,
       coalesce((SELECT array_agg(DISTINCT coalesce(nullif(r.application_name, ''), host(r.client_addr), 'unnamed'))
                 FROM pg_catalog.pg_stat_replication AS r), '{}')::text[] AS replicas,
       coalesce((SELECT array_agg(slot_name ORDER BY slot_name) FROM pg_catalog.pg_replication_slots
                 WHERE slot_type = 'physical' AND active), '{}')::text[] AS slots
FROM (SELECT count(*) AS sessions,
             count(*) FILTER (WHERE a.state IN ('active', 'fastpath function call')) AS active,
             coalesce(array_agg(DISTINCT a.application_name) FILTER (WHERE a.application_name <> ''), '{}')::text[]
                 AS applications
      FROM pg_catalog.pg_stat_activity AS a
      WHERE (a.backend_type = 'client backend' OR a.backend_type IS NULL AND a.datid IS NOT NULL)
        AND a.pid <> pg_catalog.pg_backend_pid()
        AND a.pid <> ALL ($2::int4[])
        -- Of a clone: other runs have theirs in databases of their own on the same server.
        AND NOT ($1 AND a.datname IS DISTINCT FROM current_database()
                 AND starts_with(coalesce(a.application_name, ''), 'lockproof'))) AS s
