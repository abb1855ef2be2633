#!/usr/bin/env bash
# Builds images that tests of the container stage run on, out of lockproof/postgres:N and Debian's packages, where no
# registry is reached. Each imitates a kind of image that users have; none is the original.
# Usage: tests/image/variants.sh [descendant] [busybox] [layout18]      (all of them unless named)
#   FORCE=1     builds again what is there
#   DOCKER=CMD  the engine's client, `docker` unless set
#
# lockproof/test:descendant  what postgis/postgis, pgvector/pgvector and timescale/timescaledb add to the official image:
#                            the extensions, scripts of the first start that create them, a library preloaded by
#                            postgresql.conf.sample, settings that a script of the first start tunes
# lockproof/test:busybox     the userland of an Alpine image: every tool is busybox's, no bash, no setpriv, gosu or su-exec,
#                            postgres is 70:70, its programs in /usr/local/bin; the C library is Debian's, not musl
# lockproof/test:layout18    lockproof/postgres:18 with the official layout of 18: PGDATA=/var/lib/postgresql/18/docker, a
#                            volume above it, an entrypoint that refuses data and mounts in the old places
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
docker=${DOCKER:-docker}

die() {
	printf 'variants: error: %s\n' "$1" >&2
	printf '  help: %s\n' "$2" >&2
	exit 1
}

"$docker" version >/dev/null 2>&1 || die 'the container engine does not answer' "see what \`$docker version\` says"
mkdir -p "$top/build"
# Tests of several processes ask at once: one builds, the others find it.
exec 9>"$top/build/variants.lock"
if command -v flock >/dev/null; then flock 9; fi

recipe=$(cat "$here/variants.sh" "$here"/variants/* | sha256sum | cut -c1-12)
label() { "$docker" image inspect --format "{{ index .Config.Labels \"lockproof.image.$2\" }}" "$1" 2>/dev/null; }

present() {
	[ "${FORCE:-0}" != 1 ] && "$docker" image inspect "lockproof/test:$1" >/dev/null 2>&1 || return 1
	# Unlike a server image, these are small and only for tests: an old state of them is built anew.
	[ "$(label "lockproof/test:$1" recipe)" = "$recipe" ]
}

# Runs a script as root in the image, with Debian's mirror in reach; the container's id in $container.
inside() {
	local image=$1 script=$2
	"$docker" image inspect "$image" >/dev/null 2>&1 || die "the image \`$image\` is not there" "make image PG=${image##*:}"
	# The host's network: a bridge may not reach a proxy or a name server that only listens on this machine.
	container=$("$docker" create --network host -u 0 -e DEBIAN_FRONTEND=noninteractive -e http_proxy="${http_proxy:-}" \
		--entrypoint /bin/sh "$image" -euc "$script")
	"$docker" cp "$here/variants/." "$container:/tmp/" >/dev/null
	"$docker" start -a "$container" >"$log" 2>&1 9>&- || {
		tail -n 20 "$log" >&2
		die "building on \`$image\` failed, its last lines are above" "does \`apt-get update\` work here? the whole output is in ${log#"$top"/}"
	}
}

# Takes the name from an older image of this recipe, which goes unless it is used.
finish() {
	local old
	old=$("$docker" image inspect --format '{{ .Id }}' "lockproof/test:$1" 2>/dev/null) || old=
	shift
	"$@" 9>&- >>"$log"
	[ -z "$old" ] || "$docker" image rm "$old" >>"$log" 2>&1 || true
	[ -z "$container" ] || "$docker" rm -fv "$container" >>"$log"
	container=
}

packages='apt-get -qq update; apt-get -qq install -y --no-install-recommends
	-o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--path-exclude=/usr/share/doc/*'

descendant() {
	inside lockproof/postgres:17 "$(tr '\n' ' ' <<<"$packages") postgresql-17-postgis-3 postgresql-17-pgvector postgresql-17-timescaledb
		rm -rf /var/lib/apt/lists/* /var/cache/apt/*
		sed -i \"s/^#*shared_preload_libraries = .*/shared_preload_libraries = 'timescaledb'/\" /usr/share/postgresql/17/postgresql.conf.sample
		cp /tmp/first-start-*.sh /docker-entrypoint-initdb.d/; rm /tmp/*.sh"
	finish descendant "$docker" commit --change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["postgres"]' \
		--change "LABEL lockproof.image.recipe=$recipe" "$container" lockproof/test:descendant
}

busybox() {
	inside lockproof/postgres:17 "$(tr '\n' ' ' <<<"$packages") busybox-static
		sh /tmp/busybox-root.sh /root/tree"
	# shellcheck disable=SC2317 # called through finish
	import() {
		# The tree alone, not the image that it was put together in.
		"$docker" cp "$container:/root/tree" - | tar -x --to-stdout --wildcards tree/tree.tar |
			"$docker" import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
				--change 'ENV PG_MAJOR=17' --change 'ENV PGDATA=/var/lib/postgresql/data' \
				--change 'VOLUME /var/lib/postgresql/data' --change "LABEL lockproof.image.recipe=$recipe" \
				--change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["postgres"]' - lockproof/test:busybox
	}
	finish busybox import
}

layout18() {
	"$docker" image inspect lockproof/postgres:18 >/dev/null 2>&1 || die 'the image `lockproof/postgres:18` is not there' 'make image PG=18'
	inside lockproof/postgres:18 'install -m 755 /tmp/layout18-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
		rm -f /tmp/*.sh; chown 999:999 /var/lib/postgresql'
	# shellcheck disable=SC2317
	import() {
		# An import, since a commit keeps the volume of the image below.
		"$docker" export "$container" | "$docker" import \
			--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/18/bin' \
			--change 'ENV LANG=C.UTF-8' --change 'ENV PG_MAJOR=18' --change 'ENV PGDATA=/var/lib/postgresql/18/docker' \
			--change 'VOLUME /var/lib/postgresql' --change "LABEL lockproof.image.recipe=$recipe" \
			--change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["postgres"]' - lockproof/test:layout18
	}
	finish layout18 import
}

container=
trap '[ -z "$container" ] || "$docker" rm -fv "$container" >/dev/null 2>&1' EXIT
[ $# -gt 0 ] || set -- descendant busybox layout18
for name in "$@"; do
	case $name in
		descendant | busybox | layout18) ;;
		*) die "no image is called \`$name\`" 'one of descendant, busybox, layout18' ;;
	esac
	log=$top/build/variant-$name.log
	if present "$name"; then
		printf 'variants: `lockproof/test:%s` is present\n' "$name"
		continue
	fi
	started=$SECONDS
	"$name"
	printf 'variants: built `lockproof/test:%s` in %d s\n' "$name" $((SECONDS - started))
done
