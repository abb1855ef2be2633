-- Subscriptions of all databases; their connection strings are for superusers alone.
SELECT s.subname::text AS name,
       CASE WHEN d.datname <> current_database() THEN d.datname::text END AS other_database,
       s.subenabled AS enabled,
       s.subslotname IS NOT NULL AS has_slot,
       s.subconninfo AS conninfo
FROM pg_catalog.pg_subscription AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
