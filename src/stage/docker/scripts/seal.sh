# After the filling server ended cleanly: everything reaches the disk, then the marker says so, with
# kilobytes and rows. Argument: the rows, empty where nobody knows.
prepare_user
cd /lockproof/base
rm -rf placed pg_hba.conf
(as_postgres "$bin/initdb" --sync-only -D /lockproof/base/data) >/tmp/sync.log 2>&1 || {
    cat /tmp/sync.log >&2
    exit 1
}
du -sk data | cut -f1 >complete.new
echo "$1" >>complete.new
: >used
mv complete.new complete
