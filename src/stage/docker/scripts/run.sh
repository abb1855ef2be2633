# A fresh clone of the base, then the server on it. Arguments: the server's command line.
prepare_user
base=/lockproof/base
run=/lockproof/run
if [ ! -s $base/data/PG_VERSION ]; then
    echo 'lockproof: the base holds no data folder' >&2
    exit 79
fi
# Half a snapshot, or another one, must not be measured without a word.
cd $base
files >$run/files.list
if ! cmp -s files.list $run/files.list; then
    echo "lockproof: the base was changed since it was made: $(diff files.list $run/files.list | sed -n 's/^[<>+-] *\(data[^ ]*\) .*/\1/p' | head -n 1)" >&2
    exit 80
fi
cd /

# A volume is the host's own file system (seen: ext4 here, fuse below /), so that the first write to
# a page costs no copy-up of the image's storage driver. Blocks are shared where that can be done
# (btrfs, xfs), tried with one file; an old busybox does not know the option.
share() { cp --reflink=always "$base/data/PG_VERSION" $run/shared; }
# Several files at once, a folder after the other: `cp -a` alone leaves a fast disk idle.
copy_folder() {
    mkdir -p "$run/data/$1"
    cd "$base/data/$1"
    find . -maxdepth 1 -type f -print0 | xargs -0 -r -n 16 -P "$(nproc)" cp -p -t "$run/data/$1"
}
copy_all() {
    cd $base/data
    find . -type d | while read -r folder; do copy_folder "$folder" || exit 1; done
}
if share 2>/dev/null; then
    cp -a --reflink=always $base/data $run/
    how=reflink
else
    mkdir $run/data
    if (copy_all) 2>/tmp/copy.log; then
        chown -R postgres: $run/data
    else
        # Tools that know less than these: one after the other, and what is wrong shows again.
        rm -rf $run/data
        cp -a $base/data $run/
    fi
    how=copy
fi
chmod -R go-rwx $run/data
rm -f $run/shared $run/files.list
# Otherwise the kernel writes the clone back in the middle of the measurement, and the server's own
# fsync waits behind it. `sync -f` flushes the file system at once, file by file takes far longer.
sync -f $run/data 2>/dev/null || (as_postgres "$bin/initdb" --sync-only -D $run/data) >/tmp/sync.log 2>&1 || {
    cat /tmp/sync.log >&2
    exit 1
}
write_hba $run/pg_hba.conf
# What cannot be seen is missing there, and said.
(bounds) >$run/bounds 2>/dev/null || true
echo $how >$run/cloned
as_postgres "$@"
