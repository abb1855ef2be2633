# As the first-start scripts of postgis/postgis and timescale/timescaledb: the extensions in a template and in the
# database that was asked for.
set -e
export PGUSER=$POSTGRES_USER
psql -X -q -v ON_ERROR_STOP=1 -d postgres -c 'CREATE DATABASE template_postgis IS_TEMPLATE true'
for database in template_postgis "$POSTGRES_DB"; do
	psql -X -q -v ON_ERROR_STOP=1 -d "$database" \
		-c 'CREATE EXTENSION IF NOT EXISTS postgis' \
		-c 'CREATE EXTENSION IF NOT EXISTS postgis_topology' \
		-c 'CREATE EXTENSION IF NOT EXISTS fuzzystrmatch' \
		-c 'CREATE EXTENSION IF NOT EXISTS postgis_tiger_geocoder' \
		-c 'CREATE EXTENSION IF NOT EXISTS timescaledb CASCADE' \
		-c 'CREATE EXTENSION IF NOT EXISTS vector'
done
