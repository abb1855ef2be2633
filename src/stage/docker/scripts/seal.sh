# After the filling server ended cleanly: everything reaches the disk, then the marker says so, with
# kilobytes. Arguments, a further line of it each: the rows, empty where nobody knows, the superuser,
# a database.
prepare_user
cd /lockproof/base
rm -rf placed pg_hba.conf
(as_postgres "$bin/initdb" --sync-only -D /lockproof/base/data) >/tmp/sync.log 2>&1 || {
    cat /tmp/sync.log >&2
    exit 1
}
files >files.list
{
    du -sk data | cut -f1
    printf '%s\n' "$@"
} >complete.new
: >used
mv complete.new complete
