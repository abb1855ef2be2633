# Copies the data folder of an image or of a volume into a base. Argument: where it is, or nothing.
prepare_user
from=
for folder in "${1:-}" "${PGDATA:-}" /var/lib/postgresql/data /var/lib/postgresql/*/docker \
    /var/lib/postgresql/*/main /var/lib/pgsql/data /var/lib/pgsql/*/data /bitnami/postgresql/data; do
    if [ -n "$folder" ] && [ -s "$folder/PG_VERSION" ]; then
        from=$folder
        break
    fi
    # What was asked for is there, or nothing is.
    if [ -n "${1:-}" ]; then break; fi
done
if [ -z "$from" ]; then
    echo "lockproof: there is no data folder at ${1:-any of the usual places}" >&2
    exit 85
fi
# Links are followed: the copy stands by itself, and no write of it costs a copy-up.
mkdir -p /lockproof/base/data
if cp --help 2>&1 | grep -q reflink; then
    cp -aL --reflink=auto "$from/." /lockproof/base/data/
else
    cp -aL "$from/." /lockproof/base/data/
fi
