# A client program beside the server binary. Arguments: the program and its own.
if ! command -v "$1" >/dev/null 2>&1; then
    echo "lockproof: no program $1 in this image" >&2
    exit 127
fi
exec "$@"
