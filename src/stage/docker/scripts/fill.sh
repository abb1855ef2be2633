# Brings up the server that a base is filled in. Arguments: the server's command line; in front of
# it the image's own entrypoint, where it has one that makes a data folder.
prepare_user
cd /lockproof/base
mkdir -p placed
chown postgres placed
chmod 700 placed
write_hba pg_hba.conf

if [ "$1" = postgres ]; then
    mkdir -p data
    chown postgres data
    chmod 700 data
    make_data() (as_postgres "$bin/initdb" -D /lockproof/base/data -U postgres -E UTF8 -A trust --no-sync "--locale=$1")
    if [ -s data/PG_VERSION ]; then
        : # A physical copy, adopted already.
    elif ! make_data C.UTF-8 >/tmp/initdb.log 2>&1; then
        # A C library without that locale; whatever else is wrong shows again.
        find data -mindepth 1 -delete
        make_data C
    fi
    as_postgres "$@"
fi
exec "$@"
