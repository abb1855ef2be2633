#!/usr/bin/env bash
# Brings a machine to where `make test` can run: PostgreSQL server binaries for local stages, debootstrap for the
# offline image, curl. Only what is missing is installed; a second run changes nothing. No server is started.
# As root or with a password-free sudo on Debian and its relatives; elsewhere it says what to install.
set -euo pipefail

say() { printf 'setup: %s\n' "$1"; }
die() {
	printf 'setup: error: %s\n' "$1" >&2
	printf '  help: %s\n' "$2" >&2
	exit 1
}

# The newest server's folder, from where Debian, RPM distributions and PATH keep them.
server_bin() {
	local dir found=
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
		if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then found=$dir; fi
	done
	if [ -z "$found" ] && command -v initdb >/dev/null && command -v postgres >/dev/null; then
		found=$(dirname "$(command -v initdb)")
	fi
	[ -n "$found" ] && printf '%s\n' "$found"
}

needs=()
if bin=$(server_bin); then
	say "server binaries: $bin ($("$bin/postgres" --version))"
else
	needs+=(postgresql)
fi
# socat, openssl and ip make an engine a remote one; ssh and ssh-keygen reach it. podman and what follows it are an
# engine without root: its runtime, its network, its users. On XFS clones share blocks. chromium looks at the
# report's page.
for tool in debootstrap curl socat openssl ip ssh podman runc slirp4netns newuidmap mkfs.xfs chromium; do
	# debootstrap lives in sbin, which is not on every user's PATH.
	if at=$(PATH=$PATH:/usr/sbin:/sbin command -v "$tool"); then
		say "$tool: $at"
	else
		needs+=("$tool")
	fi
done

if [ ${#needs[@]} -eq 0 ]; then
	say 'nothing to install'
else
	say "missing: ${needs[*]}"
	command -v apt-get >/dev/null ||
		die 'this system has no apt-get, so nothing was installed' "install with its own package manager: ${needs[*]} (the PostgreSQL server with initdb and pg_ctl, 13 or newer)"
	if [ "$(id -u)" = 0 ]; then
		root=()
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		root=(sudo -n)
	else
		die 'installing needs root, and sudo does not give it without a password' "sudo tests/setup.sh"
	fi
	apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
		apt-get -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)

	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	quietly() {
		say "apt-get $*"
		if ! "${apt[@]}" "$@" >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			die "\`apt-get $*\` failed, its last lines are above" 'mend the package manager of this machine (apt-get update), then run tests/setup.sh again'
		fi
	}
	quietly update

	packages=()
	for need in "${needs[@]}"; do
		if [ "$need" = ip ]; then
			packages+=(iproute2)
		elif [ "$need" = ssh ]; then
			packages+=(openssh-client)
		elif [ "$need" = newuidmap ]; then
			packages+=(uidmap)
		elif [ "$need" = mkfs.xfs ]; then
			packages+=(xfsprogs)
		elif [ "$need" != postgresql ]; then
			packages+=("$need")
		elif [ -n "$(apt-cache madison postgresql-15 2>/dev/null)" ]; then
			packages+=(postgresql-15)
		else
			# Another release of the distribution: its own server will do.
			packages+=(postgresql)
		fi
	done

	# Debian makes and starts a cluster with the server package. Stages make their own, and a server on the usual
	# port that nobody asked for is a surprise, so that is turned off first, unless someone has already decided.
	conf=/etc/postgresql-common/createcluster.conf
	if [[ " ${packages[*]} " == *" postgresql"* ]] && [ ! -e "$conf" ]; then
		say "no cluster is to be made: writing create_main_cluster = false to $conf"
		"${root[@]}" mkdir -p "$(dirname "$conf")"
		echo 'create_main_cluster = false' | "${root[@]}" tee "$conf" >/dev/null
	fi

	quietly install --no-install-recommends "${packages[@]}"

	# Podman comes as a service that listens, and as a nightly one. Tests start their own, as another user.
	if [[ " ${packages[*]} " == *" podman "* ]] && [ -d /run/systemd/system ]; then
		say 'podman: its services are not to be started'
		"${root[@]}" systemctl disable --now podman.socket podman.service podman-restart.service \
			podman-auto-update.timer podman-auto-update.service >"$log" 2>&1 ||
			say "podman: \`systemctl disable\` failed: $(tail -n 1 "$log")"
	fi

	if bin=$(server_bin); then
		say "server binaries: $bin ($("$bin/postgres" --version))"
	else
		die 'the packages are installed, but no initdb and postgres are to be found' 'look in /usr/lib/postgresql'
	fi
fi

# For engines behind ssh. Unpacked, not installed: that would make it a service of this machine.
sshd=$(dirname "${BASH_SOURCE[0]}")/../build/sshd
if [ -x /usr/sbin/sshd ] || [ -x "$sshd/usr/sbin/sshd" ]; then
	say 'sshd: there'
elif command -v apt-get >/dev/null; then
	work=$(mktemp -d)
	if (cd "$work" && apt-get download openssh-server && dpkg -x openssh-server_*.deb x) >"$work/log" 2>&1; then
		mkdir -p "$sshd" && cp -a "$work/x/." "$sshd/"
		say 'sshd: unpacked into build/sshd'
	else
		say "sshd: \`apt-get download openssh-server\` failed: $(tail -n 1 "$work/log")"
	fi
	rm -rf "$work"
fi

if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
	die 'there is no user `postgres`, and the server refuses to run as root' 'useradd --system --home-dir /var/lib/postgresql postgres'
fi

# Not installed from here: how Rust comes onto a machine is for its owner to say. Not an error of this script either:
# under sudo the user's own Rust is not on PATH.
for tool in cargo rustfmt clippy-driver; do
	command -v "$tool" >/dev/null || say "\`$tool\` is not on PATH: \`make check\` needs Rust with its components rustfmt and clippy"
done
cargo nextest --version >/dev/null 2>&1 ||
	say 'cargo-nextest is not there, `cargo test` will do its work'
