#!/usr/bin/env bash
# First start of a server container, with the variables of the official image: POSTGRES_PASSWORD, POSTGRES_USER,
# POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, and scripts in /docker-entrypoint-initdb.d.
# Anything but `postgres` (or bare options to it) is run as it stands.
set -euo pipefail

[ "${1:0:1}" != - ] || set -- postgres "$@"
[ "${1:-}" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
	# The server refuses root; a mounted data folder may still be root's.
	mkdir -p "$PGDATA"
	chmod 700 "$PGDATA"
	find "$PGDATA" \! -user postgres -exec chown postgres:postgres {} +
	exec setpriv --reuid=postgres --regid=postgres --init-groups -- "${BASH_SOURCE[0]}" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	user=${POSTGRES_USER:-postgres}
	database=${POSTGRES_DB:-$user}
	method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
		echo 'error: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust for a server that only you can reach' >&2
		exit 1
	fi
	# shellcheck disable=SC2086 # the arguments are a list
	initdb -D "$PGDATA" --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-unused}") ${POSTGRES_INITDB_ARGS:-}
	printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

	# Socket only while it is being set up: nobody may mistake it for the server that is ready.
	PGUSER=$user pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
	if [ "$database" != postgres ]; then
		createdb -U "$user" --maintenance-db=postgres "$database"
	fi
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
			*.sh) echo "running $file"; bash "$file" ;;
			*.sql) echo "running $file"; psql -v ON_ERROR_STOP=1 -X -q -U "$user" -d "$database" -f "$file" ;;
			*.sql.gz) echo "running $file"; gunzip -c "$file" | psql -v ON_ERROR_STOP=1 -X -q -U "$user" -d "$database" ;;
		esac
	done
	PGUSER=$user pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
