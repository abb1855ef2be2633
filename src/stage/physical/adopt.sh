# Makes a copy of another server's data folder one of ours: recovered, cleanly shut down, and cut off
# from whatever it knew. Beforehand: $bin with the server's programs, the function as_postgres.
# Arguments: the folder that has `data` in it (and `wal`, where archived WAL is needed), lines for its
# postgresql.conf, further settings as name=value. Says `superuser=…` and `database=…`, a line each.
base=$1
conf=$2
shift 2
data=$base/data
cd "$data"
if [ ! -s PG_VERSION ] || [ ! -s global/pg_control ]; then
    echo 'lockproof: this is no data folder: it has no PG_VERSION or no global/pg_control' >&2
    exit 82
fi
of_data=$(cat PG_VERSION)
of_server=$("$bin/postgres" --version | sed 's/.*) \([0-9]*\).*/\1/')
if [ "$of_data" != "$of_server" ]; then
    echo "lockproof: the data are of PostgreSQL $of_data, the server is $of_server" >&2
    exit 81
fi

rm -rf postmaster.pid postmaster.opts standby.signal recovery.signal recovery.done tablespace_map \
    pg_hba.conf pg_ident.conf postgresql.conf postgresql.auto.conf current_logfiles log pg_log backup_manifest
for folder in pg_replslot pg_stat_tmp pg_dynshmem pg_notify pg_serial pg_snapshots pg_subtrans \
    pg_wal/archive_status pg_wal/summaries pg_logical/snapshots pg_logical/mappings; do
    mkdir -p "$folder"
    find "$folder" -mindepth 1 -delete
done
if [ -n "$(find . -type l | head -n 1)" ]; then
    echo "lockproof: a link would lead out of the copy: $(find . -type l | head -n 1)" >&2
    exit 82
fi

control() { LC_ALL=C "$bin/pg_controldata" "$data" | sed -n "s/^$1 setting: *//p"; }
{
    # What is prepared, and what was locked at once, has to fit in again.
    echo "max_prepared_transactions = $(control max_prepared_xacts)"
    echo "max_locks_per_transaction = $(control max_locks_per_xact)"
    # Not refused, whatever its subscriptions and slots say: nothing of this copy may call its origin.
    echo "max_logical_replication_workers = 0"
    # Tablespaces are folders of their own in here, where the original has links.
    if [ -n "$(ls pg_tblspc)" ]; then echo "allow_in_place_tablespaces = on"; fi
    printf '%s\n' "$conf"
} >postgresql.conf
echo 'local all all trust
host all all all scram-sha-256' >pg_hba.conf
: >pg_ident.conf
: >postgresql.auto.conf

set -- "$@" archive_mode=off logging_collector=off log_destination=stderr fsync=off hot_standby=off
if [ -d "$base/wal" ]; then
    : >recovery.signal
    set -- "$@" "restore_command=cp \"$base/wal/%f\" \"%p\"" recovery_target=immediate recovery_target_action=promote
fi
options=
for setting in "$@"; do
    options="$options -c '$(printf '%s' "$setting" | sed "s/'/'\\\\''/g")'"
done
if [ "$(id -u)" = 0 ]; then chown -R postgres "$base"; fi
chmod 700 "$data"
database=template1
ask() {
    # One statement a line. Single-user: no role and no password is needed, and nobody else comes in.
    {
        echo "DO \$\$ BEGIN EXECUTE format('ALTER ROLE %I LOGIN CONNECTION LIMIT -1 VALID UNTIL ''infinity''', (SELECT rolname FROM pg_catalog.pg_authid WHERE oid = 10)); END \$\$"
        echo "SELECT 'database=' || datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
        echo "SELECT 'superuser=' || rolname FROM pg_catalog.pg_authid WHERE oid = 10"
    } | (eval as_postgres '"$bin/postgres"' --single -D '"$data"' "$options" "$database") >"$base/adopted" 2>"$base/adopted.log"
}
if ! ask; then
    tail -n 18 "$base/adopted.log" >&2
    exit 83
fi
answers=$(sed -n 's/.*= "\(\(superuser\|database\)=.*\)"[[:space:]]*(typeid.*/\1/p' "$base/adopted")
case $answers in
*superuser=*) ;;
*)
    tail -n 18 "$base/adopted.log" >&2
    exit 83
    ;;
esac
rm -rf "$base/adopted" "$base/adopted.log" "$base/wal" recovery.signal
# Where each page has a checksum, a page that was damaged before it came here is found now and not
# in the middle of a step.
if LC_ALL=C "$bin/pg_controldata" "$data" | grep -q '^Data page checksum version: *[1-9]' && [ -x "$bin/pg_checksums" ] && [ "${LOCKPROOF_VERIFIED:-}" != yes ]; then
    if ! (as_postgres "$bin/pg_checksums" --check -D "$data") >"$base/checksums.log" 2>&1; then
        tail -n 18 "$base/checksums.log" >&2
        exit 84
    fi
    rm -f "$base/checksums.log"
fi
printf '%s\n' "$answers"
