#!/usr/bin/env bash
# Builds lockproof/postgres:N, a server image for sites that reach no registry, out of Debian's own packages.
# Usage: tests/image/build.sh PG_MAJOR      (13, 15, 17 or 18)
#   FORCE=1     builds it again although it is there
#   MIRROR=URL  a Debian mirror; otherwise the one that apt uses here, otherwise debootstrap's default
#   DOCKER=CMD  the engine's client, `docker` unless set
# The image is laid out as the official `postgres` image: user postgres 999:999, PGDATA=/var/lib/postgresql/data
# (also for 18, where the official one moved it), the binaries on PATH, no cluster in it, the same environment
# variables for the first start. It differs in these: LANG is C.UTF-8 (no locale is generated), no gosu (setpriv is
# there), SIGTERM and so a smart shutdown on `docker stop` (an import cannot set STOPSIGNAL).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
docker=${DOCKER:-docker}

die() {
	printf 'image: error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf '  help: %s\n' "$2" >&2
	exit 1
}

[ $# -eq 1 ] || die 'expected one argument, the major version of PostgreSQL' 'tests/image/build.sh 17'
major=$1
# The release of Debian that ships this major: its own packages, so that no other package source is needed.
case $major in
	13) suite=bullseye ;;
	15) suite=bookworm ;;
	17) suite=trixie ;;
	18) suite=forky ;;
	*) die "no release of Debian ships PostgreSQL \`$major\`" 'one of 13, 15, 17, 18' ;;
esac

tag=lockproof/postgres:$major
recipe=$(cat "$here/build.sh" "$here/entrypoint.sh" | sha256sum | cut -c1-12)
started=$SECONDS
say() { printf 'image %s: [%3ds] %s\n' "$major" $((SECONDS - started)) "$1"; }

command -v "$docker" >/dev/null || die "the command \`$docker\` is not there" 'install a container engine and its client (Debian: apt-get install docker.io), or name another client with DOCKER='
"$docker" version >/dev/null 2>&1 || die 'the container engine does not answer' "see what \`$docker version\` says: is it running, may this user talk to it?"

mkdir -p "$top/build"
log=$top/build/image-$major.log

# Two builds of one tag would only waste each other's time: the second waits, then finds the image.
exec 9>"$top/build/image-$major.lock"
if command -v flock >/dev/null && ! flock -n 9; then
	say 'another build of it is running, waiting for that one'
	flock 9
fi

label() { "$docker" image inspect --format "{{ index .Config.Labels \"lockproof.image.$1\" }}" "$tag" 2>/dev/null; }
if [ "${FORCE:-0}" != 1 ] && "$docker" image inspect "$tag" >/dev/null 2>&1; then
	say "\`$tag\` is present ($(label server))"
	[ "$(label recipe)" = "$recipe" ] || say 'it was built by another state of tests/image: FORCE=1 builds it again'
	exit 0
fi

if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
		die 'debootstrap needs root (it makes a root file system), and sudo does not give it without a password' "sudo tests/image/build.sh $major"
	exec 9>&-
	exec sudo -n FORCE="${FORCE:-0}" MIRROR="${MIRROR:-}" DOCKER="$docker" bash "$here/build.sh" "$major"
fi

missing=()
command -v debootstrap >/dev/null || missing+=(debootstrap)
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
command -v gpgv >/dev/null || missing+=(gpgv)
command -v wget >/dev/null || missing+=(wget)
command -v xz >/dev/null || missing+=(xz-utils)
if [ ${#missing[@]} -gt 0 ]; then
	command -v apt-get >/dev/null || die "missing here: ${missing[*]}" 'install them with the package manager of this system'
	say "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
		{ tail -n 15 "$log" >&2; die "apt-get could not install ${missing[*]}" "the whole output is in ${log#"$top"/}"; }
fi

# Where apt gets Debian from: by the origin that the mirror states, which holds for mirrors of any name. Before the
# first `apt-get update` no origin is known, then the usual path has to do.
apt_mirror() {
	command -v apt-get >/dev/null || return 0
	local found
	# shellcheck disable=SC2016 # the fields are apt's
	found=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed -nE 's#^Debian\|Debian\|(https?://.*)$#\1#p') || found=
	[ -n "$found" ] || found=$(apt-get update --print-uris 2>/dev/null |
		sed -nE "s#^'(https?://[^']*/debian/)dists/.*#\1#p") || found=
	printf '%s' "${found%%$'\n'*}"
}
mirror=${MIRROR:-$(apt_mirror)}
if [ -z "${http_proxy:-}" ] && command -v apt-config >/dev/null; then
	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	if [ -n "${proxy:-}" ] && [ "$proxy" != DIRECT ]; then export http_proxy=$proxy; fi
fi

# debootstrap's scripts are mostly one script under many names; an older debootstrap lacks the newest names.
scripts=/usr/share/debootstrap/scripts
if [ ! -e "$scripts/$suite" ]; then
	[ -e "$scripts/sid" ] || die "debootstrap knows neither \`$suite\` nor \`sid\`" 'install a newer debootstrap'
	say "debootstrap has no script for $suite yet, linking the one of sid"
	ln -s sid "$scripts/$suite"
fi

# Not under /tmp, which is often small, or mounted without devices.
work=$(mktemp -d "${LOCKPROOF_IMAGE_TMP:-/var/tmp}/lockproof-image-$major.XXXXXX")
root=$work/root
cleanup() {
	local status=$?
	# debootstrap mounts these itself and leaves them there when it fails.
	for at in "$root/proc" "$root/sys" "$root/dev"; do
		while mountpoint -q "$at" 2>/dev/null; do umount -R "$at" 2>/dev/null || umount -l "$at" || break; done
	done
	rm -rf --one-file-system "$work"
	if [ $status -ne 0 ]; then
		[ ! -s "$root/debootstrap/debootstrap.log" ] || cat "$root/debootstrap/debootstrap.log" >>"$log"
		printf 'image %s: failed; the last lines of %s:\n' "$major" "${log#"$top"/}" >&2
		tail -n 15 "$log" >&2
	fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

: >"$log"
say "Debian $suite from ${mirror:-the default mirror}, log in ${log#"$top"/}"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# The two stages apart, so that the settings below are there before any package is configured.
say 'downloading the packages'
debootstrap --foreign --variant=minbase --include="postgresql-$major,postgresql-client-$major" \
	"$suite" "$root" ${mirror:+"$mirror"} >>"$log" 2>&1 9>&-

mkdir -p "$root/etc/postgresql-common" "$root/etc/dpkg/dpkg.cfg.d" "$root/usr/sbin"
# No cluster is made and none is started: data belongs into a volume.
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
cat >"$root/etc/dpkg/dpkg.cfg.d/lockproof" <<'DPKG'
# One sync for each file is most of the time of an installation, and this tree is thrown away when it fails.
force-unsafe-io
force-confold
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
DPKG

say "unpacking and configuring $(find "$root/var/cache/apt/archives" -name '*.deb' | wc -l) packages"
chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin /debootstrap/debootstrap --second-stage >>"$log" 2>&1 9>&-
bin=/usr/lib/postgresql/$major/bin
for tool in postgres initdb psql pg_dump pg_restore; do
	[ -x "$root$bin/$tool" ] || die "\`$tool\` is missing from the packages of $suite"
done

# Owners are numbers in a volume: the official image and this one must be able to read each other's.
say 'laying it out as the official image'
renumber() { # renumber group|passwd NAME ID, moving whoever has that number out of its way
	local file=$1 name=$2 id=$3 holder
	holder=$(awk -F: -v id="$id" '$3 == id { print $1 }' "$root/etc/$file")
	[ "$holder" != "$name" ] || return 0
	[ -z "$holder" ] || move "$file" "$holder" 899
	move "$file" "$name" "$id"
}
move() {
	local file=$1 name=$2 id=$3 old
	old=$(awk -F: -v name="$name" '$1 == name { print $3 }' "$root/etc/$file")
	[ -n "$old" ] || die "the packages of $suite made no \`$name\` in /etc/$file"
	if [ "$file" = group ]; then
		chroot "$root" groupmod -g "$id" "$name"
		find "$root" -xdev -gid "$old" -exec chgrp -h "$id" {} +
	else
		chroot "$root" usermod -u "$id" "$name"
		find "$root" -xdev -uid "$old" -exec chown -h "$id" {} +
	fi
}
renumber group postgres 999 >>"$log" 2>&1
renumber passwd postgres 999 >>"$log" 2>&1
chroot "$root" usermod -g 999 -d /var/lib/postgresql -s /bin/bash postgres >>"$log" 2>&1

rm -rf "$root/etc/postgresql/$major" "$root/var/lib/postgresql/$major"
install -d -o 999 -g 999 -m 1777 "$root/var/lib/postgresql" "$root/var/lib/postgresql/data"
install -d -o 999 -g 999 -m 3777 "$root/run/postgresql"
[ -e "$root/var/run" ] || ln -s /run "$root/var/run"
# The official image listens on every address of the container: published ports reach nothing otherwise.
sed -i "s/^#*listen_addresses = .*/listen_addresses = '*'/" "$root/usr/share/postgresql/$major/postgresql.conf.sample"
mkdir -p "$root/docker-entrypoint-initdb.d"
install -m 755 "$here/entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"

rm -rf "$root/debootstrap" "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/apt/lists/* \
	"$root"/usr/share/{doc,man,info,locale,lintian}/* "$root"/tmp/* \
	"$root"/etc/ssl/private/ssl-cert-snakeoil.key "$root"/etc/ssl/certs/ssl-cert-snakeoil.pem
find "$root/var/log" -type f -delete
rm -f "$root/etc/dpkg/dpkg.cfg.d/lockproof" "$root/etc/resolv.conf" "$root/etc/hostname"
server=$(chroot "$root" "$bin/postgres" --version)

replaced=$("$docker" image inspect --format '{{ .Id }}' "$tag" 2>/dev/null) || replaced=
say "importing $(du -sxm "$root" | cut -f1) MB"
tar -C "$root" --numeric-owner --one-file-system -c . | "$docker" import \
	--message "PostgreSQL $major from Debian $suite, laid out as the official image" \
	--change "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$bin" \
	--change 'ENV LANG=C.UTF-8' \
	--change "ENV PG_MAJOR=$major" \
	--change 'ENV PGDATA=/var/lib/postgresql/data' \
	--change 'VOLUME /var/lib/postgresql/data' \
	--change 'EXPOSE 5432' \
	--change "LABEL lockproof.image.postgres=$major" \
	--change "LABEL lockproof.image.recipe=$recipe" \
	--change "LABEL lockproof.image.server=\"$server\"" \
	--change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
	--change 'CMD ["postgres"]' \
	- "$tag" >>"$log" 2>&1
# The one it took the name from would stay behind without a name; in use, it may.
[ -z "$replaced" ] || "$docker" image rm "$replaced" >>"$log" 2>&1 || say "the earlier image is in use and stays: $replaced"
say "built \`$tag\`: $server"
