# Before every script of ours inside a container. POSIX sh only: busybox and dash run it.
# Finds the server's programs, makes sure that the user `postgres` exists, knows how to become it.
set -eu
umask 022

bin=
found=$(command -v postgres 2>/dev/null || true)
if [ -n "$found" ]; then
    bin=$(dirname "$(readlink -f "$found")")
else
    # The last one that exists wins: the image's own major before any other.
    for folder in /usr/local/bin /usr/local/pgsql/bin /opt/bitnami/postgresql/bin /usr/pgsql-*/bin \
        /usr/libexec/postgresql* /usr/lib/postgresql*/bin /usr/lib/postgresql/*/bin \
        "/usr/lib/postgresql/${PG_MAJOR:-none}/bin"; do
        if [ -x "$folder/postgres" ]; then bin=$folder; fi
    done
fi
if [ -z "$bin" ]; then
    echo 'lockproof: no PostgreSQL server in this image' >&2
    exit 78
fi
PATH=$bin:$PATH
export PATH

# Replaces the shell by a command of the user `postgres`; in a subshell where it must return.
# `su` comes last: on Debian it stays between the container's init and the server.
as_postgres() {
    case $become in
    nothing) exec "$@" ;;
    setpriv) exec setpriv --reuid=postgres --regid=postgres --init-groups "$@" ;;
    gosu) exec gosu postgres "$@" ;;
    su-exec) exec su-exec postgres "$@" ;;
    chroot) exec chroot --userspec=postgres / "$@" ;;
    su) exec su -s /bin/sh -c 'exec "$0" "$@"' -- postgres "$@" ;;
    esac
}

prepare_user() {
    if [ "$(id -u)" != 0 ]; then
        become=nothing
        return
    fi
    # A container's own file: the image stays as it is.
    if ! id -u postgres >/dev/null 2>&1; then
        echo 'postgres:x:999:999:PostgreSQL:/tmp:/bin/sh' >>/etc/passwd
        grep -q '^postgres:' /etc/group || echo 'postgres:x:999:' >>/etc/group
    fi
    if setpriv --reuid=postgres --regid=postgres --init-groups true 2>/dev/null; then
        become=setpriv
    elif command -v gosu >/dev/null 2>&1; then
        become=gosu
    elif command -v su-exec >/dev/null 2>&1; then
        become=su-exec
    elif chroot --userspec=postgres / true 2>/dev/null; then
        become=chroot
    else
        become=su
    fi
    mkdir -p /var/run/postgresql
    chown postgres /var/run/postgresql
    chmod 2775 /var/run/postgresql
}

# Every file of the data folder here with its size and times, which every write changes.
files() {
    find data -type f -exec stat -c '%n %s %Y %Z' {} + | LC_ALL=C sort
}

# Only the socket inside the container is trusted; whoever comes by network knows the password.
write_hba() {
    {
        echo 'local all all trust'
        echo 'local replication all trust'
        echo 'host all all all scram-sha-256'
        echo 'host replication all all scram-sha-256'
    } >"$1"
}
