# A fresh clone of the base, then the server on it. Arguments: the server's command line.
prepare_user
if [ ! -s /lockproof/base/data/PG_VERSION ]; then
    echo 'lockproof: the base holds no data folder' >&2
    exit 79
fi
# A volume is the host's own file system (seen: ext4 here, fuse below /), so that the first write to
# a page costs no copy-up of the image's storage driver. Shares blocks where the file system can (btrfs, xfs); an old busybox does not know the option.
if cp --help 2>&1 | grep -q reflink; then
    cp -a --reflink=auto /lockproof/base/data /lockproof/run/
else
    cp -a /lockproof/base/data /lockproof/run/
fi
# Otherwise the kernel writes the clone back in the middle of the measurement, and the server's own
# fsync waits behind it. `sync -f` flushes the file system at once, file by file takes far longer.
sync -f /lockproof/run/data 2>/dev/null || (as_postgres "$bin/initdb" --sync-only -D /lockproof/run/data) >/tmp/sync.log 2>&1 || {
    cat /tmp/sync.log >&2
    exit 1
}
write_hba /lockproof/run/pg_hba.conf
: >/lockproof/run/cloned
as_postgres "$@"
