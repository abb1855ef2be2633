-- What is read before a server is dumped: where it stands, and what may get in the way of a long read.
-- The first statement of the transaction: its time is a moment before that of its snapshot.
SELECT pg_catalog.pg_export_snapshot() AS snapshot,
       to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS taken_at,
       current_setting('server_version') AS version,
       current_setting('server_version_num')::int4 AS number,
       current_database()::text AS database,
       pg_catalog.pg_is_in_recovery() AS standby,
       current_setting('hot_standby_feedback') AS feedback,
       current_setting('max_standby_streaming_delay') AS delay,
       to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS replayed
