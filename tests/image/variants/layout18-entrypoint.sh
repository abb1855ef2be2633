#!/usr/bin/env bash
# What the official entrypoint of 18 does before its first start, then the usual, in short.
set -Eeo pipefail
[ "${1:0:1}" != - ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" && chown -R postgres "$PGDATA" && chmod 700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$BASH_SOURCE" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	old=()
	for folder in /var/lib/postgresql /var/lib/postgresql/data /var/lib/postgresql/*/docker; do
		[ ! -s "$folder/PG_VERSION" ] || old+=("$folder")
	done
	if [ ${#old[@]} -eq 0 ] && mountpoint -q /var/lib/postgresql/data; then
		old+=('/var/lib/postgresql/data (unused mount/volume)')
	fi
	if [ ${#old[@]} -gt 0 ]; then
		printf 'Error: in 18+, these Docker images are configured to store database data in a format which is compatible with "pg_ctlcluster"\n  %s\n' "${old[@]}" >&2
		exit 1
	fi
	eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
	echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
	pg_ctl -o "-c listen_addresses='' -p 5432" -w start
	[ "$POSTGRES_DB" = postgres ] || createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
	for script in /docker-entrypoint-initdb.d/*.sh; do [ ! -e "$script" ] || . "$script"; done
	pg_ctl -m fast -w stop
fi
exec "$@"
