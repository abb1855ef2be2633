-- How the database compares and stores. Its columns for a locale have another name in each major: by JSON.
SELECT pg_encoding_to_char(d.encoding) AS encoding,
       current_setting('data_checksums') = 'on' AS data_checksums,
       row_to_json(d) ->> 'datlocprovider' AS provider,
       coalesce(row_to_json(d) ->> 'datlocale', row_to_json(d) ->> 'daticulocale', d.datcollate::text) AS locale,
       row_to_json(d) ->> 'datcollversion' AS recorded,
       pg_database_collation_actual_version(d.oid) AS actual
FROM pg_catalog.pg_database AS d
WHERE d.datname = current_database()
