# Puts a root file system together in $1/tree.tar: the server's programs in /usr/local/bin, the libraries that they load, and
# busybox for everything else. Runs in lockproof/postgres:17 with busybox-static installed.
set -eu
tree=$1/root
mkdir -p "$tree"
cd "$tree"
mkdir -p bin sbin usr/bin usr/sbin usr/local/bin etc tmp root proc sys dev run/postgresql var/lib/postgresql/data docker-entrypoint-initdb.d
chmod 1777 tmp
ln -s /run var/run

cp /bin/busybox bin/busybox
# No shell but sh, and none of what an Alpine image lacks too.
for applet in $(/bin/busybox --list); do
	case $applet in
	bash | hush | busybox | setpriv | runuser) ;;
	*) ln -s /bin/busybox "bin/$applet" ;;
	esac
done

# The server looks for its libraries beside its programs, as `bin` and `lib` were when it was built, and for
# everything else where it was built for.
mkdir -p usr/local/lib usr/share/postgresql
cp -a /usr/lib/postgresql/17/lib/. usr/local/lib/
cp -a /usr/share/postgresql/17 usr/share/postgresql/
# Just-in-time compilation brings 130 MB, and Alpine packs it apart too.
rm -rf usr/local/lib/llvmjit* usr/local/lib/bitcode
for program in postgres initdb psql pg_dump pg_restore pg_ctl pg_isready createdb; do
	cp "/usr/lib/postgresql/17/bin/$program" usr/local/bin/
done
cp -a /usr/share/zoneinfo usr/share/ 2>/dev/null || true
{
	for file in usr/local/bin/* $(find usr/local/lib -name '*.so'); do
		ldd "$file" 2>/dev/null | awk '/=> \// { print $3 } /^[ \t]*\// { print $1 }'
	done
	# Loaded by name, so that getpwnam works.
	ls /lib/*/libnss_files.so.2 2>/dev/null || true
} | sort -u | while read -r library; do
	mkdir -p ".$(dirname "$library")"
	cp -L "$library" ".$library"
done

echo 'root:x:0:0:root:/root:/bin/sh
postgres:x:70:70:PostgreSQL:/var/lib/postgresql:/bin/sh' >etc/passwd
echo 'root:x:0:
postgres:x:70:' >etc/group
echo 'passwd: files
group: files' >etc/nsswitch.conf
chown -R 70:70 var/lib/postgresql run/postgresql
sed -i "s/^#*listen_addresses = .*/listen_addresses = '*'/" usr/share/postgresql/17/postgresql.conf.sample

cat >usr/local/bin/docker-entrypoint.sh <<'END'
#!/bin/sh
# The official entrypoint in short, without bash.
set -e
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	chown -R postgres "$PGDATA"
	chmod 700 "$PGDATA"
	exec su -s /bin/sh postgres -c 'exec "$0" "$@"' -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb -U "$POSTGRES_USER" -A trust $POSTGRES_INITDB_ARGS
	pg_ctl -w -o "-c listen_addresses=''" start
	[ "$POSTGRES_DB" = postgres ] || createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
	for script in /docker-entrypoint-initdb.d/*.sh; do [ ! -e "$script" ] || . "$script"; done
	pg_ctl -m fast -w stop
fi
exec "$@"
END
chmod 755 usr/local/bin/docker-entrypoint.sh
tar --numeric-owner -cf "$1/tree.tar" .
rm -rf "$tree"
