-- How the database compares and stores, before PostgreSQL 15: always by libc, and no version is recorded.
SELECT pg_encoding_to_char(d.encoding) AS encoding,
       current_setting('data_checksums') = 'on' AS data_checksums,
       'c' AS provider,
       d.datcollate::text AS locale,
       NULL::text AS recorded,
       NULL::text AS actual
FROM pg_catalog.pg_database AS d
WHERE d.datname = current_database()
