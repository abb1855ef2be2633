#!/usr/bin/env bash
# Makes the recordings anew: real runs on few rows, for the golden tests. Needs a container of PostgreSQL 17 and, for
# `blocked`, `queue` and `traffic`, the server programs of this machine. Afterwards: INSTA_UPDATE=always cargo test --test golden,
# and read what changed. On a busy machine a run may be unproven; the script says so and stops, run it again then.
#   LOCKPROOF=PATH   the program, target/release/lockproof unless set
#   ./record.sh      all of them; ./record.sh blocked failed   only these
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$(realpath "${LOCKPROOF:-$root/target/release/lockproof}")
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

say() { printf 'record: %s\n' "$1"; }

# record NAME EXIT ARGUMENT…: one run that has to end with EXIT.
record() {
	local name=$1 expected=$2 code=0
	shift 2
	"$program" run "$@" --record "$work/$name.jsonl" >"$work/$name.out" 2>&1 || code=$?
	if [ "$code" != "$expected" ]; then
		cat "$work/$name.out"
		say "$name: exit code $code, not $expected"
		exit 1
	fi
	if grep -qE "$work|$root|$(hostname)" "$work/$name.jsonl"; then
		say "$name: it tells of this machine"
		exit 1
	fi
	mv "$work/$name.jsonl" "$here/$name.jsonl"
	say "$name: $(stat -c %s "$here/$name.jsonl") bytes"
}

published() {
	record published 1 "$root/scenarios/listings-published" --stage docker --pg 17 --var rows=400000 --var sleep=0ms
}

redesigned() {
	record redesigned 0 "$root/scenarios/listings-redesigned" --stage docker --pg 17 --var rows=400000 --var sleep=0ms
}

fill() {
	record fill-in-transaction 1 "$root/scenarios/listings-fill-in-transaction" --stage docker --pg 17 --var rows=100000
}

rebuild() {
	record index-rebuild 1 "$root/scenarios/index-rebuild" --stage docker --pg 17 --var rows=600000
}

# The second statement of the first step fails, the second step is not reached.
failed() {
	mkdir "$work/failed"
	cd "$work/failed"
	cat >01_add_columns.sql <<-'SQL'
		ALTER TABLE listings_listing ADD COLUMN note text;
		ALTER TABLE listings_listing
		    ADD COLUMN price integer;
	SQL
	echo "ALTER TABLE listings_listing ALTER COLUMN note SET DEFAULT '';" >02_set_default.sql
	cat >scenario.toml <<-'TOML'
		name = "failed"
		[[steps]]
		file = "01_add_columns.sql"
		[[steps]]
		file = "02_set_default.sql"
	TOML
	record failed 4 . --snapshot "$root/snapshots/listings" --stage docker --pg 17 --var rows=20000
	cd "$root"
}

# A program as a step; psql takes the stage's address from its environment.
program_step() {
	mkdir "$work/command"
	cd "$work/command"
	cat >scenario.toml <<-'TOML'
		name = "command"
		[[steps]]
		name = "migrate"
		run = ["psql", "-c", "ALTER TABLE listings_listing ADD COLUMN note text"]
	TOML
	record command 0 . --snapshot "$root/snapshots/listings" --stage docker --pg 17 --var rows=20000
	cd "$root"
}

# Several times: a hold that is another one each time.
repeated() {
	mkdir "$work/repeated"
	cd "$work/repeated"
	cat >scenario.toml <<-'TOML'
		name = "repeated"
		[[steps]]
		name = "add-note"
		sql = "ALTER TABLE listings_listing ADD COLUMN note text"
		[[steps]]
		name = "random"
		sql = "LOCK TABLE listings_seller; SELECT pg_sleep(0.07 * random())"
	TOML
	record repeated 1 . --snapshot "$root/snapshots/listings" --stage docker --pg 17 --var rows=20000 --repeat 5
	cd "$root"
}

# with_server FUNCTION: calls it with a server that is there already, with two tables in the database `shop`.
with_server() {
	local bin data=$work/server port=54329 as=()
	bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
	mkdir "$data"
	# initdb refuses root.
	if [ "$(id -u)" = 0 ]; then
		chown postgres "$data"
		as=(setpriv --reuid postgres --regid postgres --clear-groups)
	fi
	"${as[@]}" "$bin/initdb" -D "$data" -U postgres -A trust >/dev/null
	"${as[@]}" "$bin/pg_ctl" -D "$data" -w -s -l "$data/log" \
		-o "-p $port -c listen_addresses=localhost -c unix_socket_directories=$data" start
	psql=("$bin/psql" -qX -h localhost -p "$port" -U postgres -v ON_ERROR_STOP=1)
	url=postgres://postgres@localhost:$port/shop
	"${psql[@]}" -d postgres -c 'CREATE DATABASE shop'
	"${psql[@]}" -d shop -c "CREATE TABLE listing (id bigint PRIMARY KEY, title text);
		INSERT INTO listing SELECT n, 'listing ' || n FROM generate_series(1, 20000) AS n;
		CREATE TABLE seller (id bigint PRIMARY KEY, name text); ANALYZE"
	"${psql[@]}" -d shop -c "ALTER DATABASE shop SET lockproof.staging = 'on'"
	"$1"
	cd "$root"
	"${as[@]}" "$bin/pg_ctl" -D "$data" -w -s -m fast stop
	rm -rf "$data"
}

# until_it CONDITION: waits until a session of the migration is so.
until_it() {
	until [ "$("${psql[@]}" -d shop -Atc "SELECT count(*) FROM pg_stat_activity WHERE $1
		AND application_name LIKE 'lockproof:%'")" = 1 ]; do :; done
}

# A session that reads a table while the migration holds it.
blocked() {
	with_server blocked_on
}

blocked_on() {
	mkdir "$work/blocked"
	cd "$work/blocked"
	cat >01_add_column.sql <<-'SQL'
		ALTER TABLE listing ADD COLUMN note text;
		SELECT pg_sleep(0.6);
	SQL
	cat >scenario.toml <<-'TOML'
		name = "blocked"
		[[steps]]
		file = "01_add_column.sql"
		wrap = "transaction"
	TOML
	# It asks as soon as the migration sleeps on its lock.
	(
		until_it "query LIKE 'SELECT pg_sleep(%'"
		"${psql[@]}" -d shop -c "SELECT title FROM listing WHERE id = 4711" >/dev/null
	) &
	record blocked 1 . --stage "$url"
	wait
}

# Long reports in front of instant changes: one change waits as long as it takes, the other tries again and again.
queue() {
	with_server queue_on
}

queue_on() {
	mkdir "$work/queue"
	cd "$work/queue"
	cat >scenario.toml <<-'TOML'
		name = "queue"
		[budgets]
		AccessExclusiveLock = "300ms"
		[[steps]]
		name = "patient"
		sql = "ALTER TABLE listing ADD COLUMN note text"
		[[steps]]
		name = "impatient"
		sql = "ALTER TABLE seller ADD COLUMN note text"
		lock_timeout = "100ms"
		retry = { attempts = 50, backoff = "100ms", max_backoff = "200ms", jitter = 0.5 }
	TOML
	local reader
	for reader in "listing:1.5" "seller:3"; do
		PGAPPNAME=report "${psql[@]}" -d shop -c "BEGIN; SELECT count(*) FROM ${reader%:*};
			SELECT pg_sleep(${reader#*:})" >/dev/null &
	done
	(
		until_it "wait_event_type = 'Lock' AND query LIKE '%listing%'"
		for _ in 1 2 3; do
			PGAPPNAME=shop "${psql[@]}" -d shop -c "SELECT title FROM listing WHERE id = 4711" >/dev/null &
			sleep 0.1
		done
		wait
		until_it "wait_event_type = 'Lock' AND query LIKE '%seller%'"
		PGAPPNAME=shop "${psql[@]}" -d shop -c "SELECT name FROM seller WHERE id = 1" >/dev/null
	) &
	sleep 0.3
	record queue 0 . --stage "$url" --confirm-external shop
	wait
}

# Traffic beside a lock of a second, and beside a change that keeps out of its way.
traffic() {
	with_server traffic_on
}

traffic_on() {
	mkdir "$work/traffic" "$work/traffic-quick"
	cat >"$work/traffic/traffic.toml" <<-'TOML'
		rate = 50
		baseline = "4s"
		settle = "1s"
		[front]
		pool = 10
		[[operations]]
		name = "listing"
		weight = 7
		sql = "SELECT title FROM listing WHERE id = :id"
		parameters = { id = { column = "listing.id", distribution = "zipf" } }
		[[operations]]
		name = "rename"
		weight = 2
		sql = "UPDATE listing SET title = 'new' WHERE id = :id"
		parameters = { id = { column = "listing.id" } }
		[[operations]]
		name = "sellers"
		weight = 1
		sql = "SELECT count(*) FROM seller"
	TOML
	cat >"$work/traffic/scenario.toml" <<-'TOML'
		name = "traffic"
		[[steps]]
		name = "add-note"
		wrap = "transaction"
		sql = "ALTER TABLE listing ADD COLUMN note text; SELECT pg_sleep(1)"
		[[steps]]
		name = "drop-sellers"
		sql = "ALTER TABLE seller RENAME TO merchant"
	TOML
	cat >"$work/traffic-quick/scenario.toml" <<-'TOML'
		name = "traffic-quick"
		traffic = "../traffic/traffic.toml"
		[[steps]]
		name = "add-note"
		sql = "ALTER TABLE listing ADD COLUMN note text"
		lock_timeout = "200ms"
		[[steps]]
		name = "wait"
		sql = "SELECT pg_sleep(1)"
	TOML
	cd "$work/traffic"
	record traffic 1 . --stage "$url" --confirm-external shop
	# As it was.
	"${psql[@]}" -d shop -c "ALTER TABLE listing DROP COLUMN note; ALTER TABLE merchant RENAME TO seller"
	cd "$work/traffic-quick"
	record traffic-quick 0 . --stage "$url" --confirm-external shop
}

# A run that was killed: the first lines of another one, and half a line more.
cut_short() {
	{
		head -n 40 "$here/published.jsonl"
		printf '{"event":"statement_do'
	} >"$here/cut.jsonl"
	say "cut: $(stat -c %s "$here/cut.jsonl") bytes"
}

if [ $# = 0 ]; then set -- published redesigned fill rebuild failed program_step repeated blocked queue traffic cut_short; fi
for one in "$@"; do "$one"; done
