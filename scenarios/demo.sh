#!/usr/bin/env bash
# The published recipe and its redesign, on the same rows, one after the other. `make demo` builds the program first.
# About two minutes; half a minute more when the server image has to be built.
#   DEMO_ROWS=1000000   rows of the large table; below about 500,000 the published recipe may pass
#   DEMO_SLEEP=10ms     pause after each batch of the backfill (100ms in the scenarios; it changes no lock)
#   LOCKPROOF=PATH      the program, target/release/lockproof unless set
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=${LOCKPROOF:-target/release/lockproof}
rows=${DEMO_ROWS:-1000000}
sleep=${DEMO_SLEEP:-10ms}

say() { printf 'demo: %s\n' "$1"; }
die() {
	printf 'demo: error: %s\n' "$1" >&2
	printf '  help: %s\n' "$2" >&2
	exit "${3:-1}"
}

[ -x "$program" ] || die "\`$program\` is not there" 'make demo, or cargo build --release'
mkdir -p build

has_image() { docker image inspect "$1" >/dev/null 2>&1; }
local_server() {
	local dir
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
		if [ -x "$dir/initdb" ]; then return 0; fi
	done
	command -v initdb >/dev/null
}

# A container when that can be had, else the server binaries of this machine.
stage=()
if docker version >/dev/null 2>&1; then
	for image in lockproof/postgres:17 postgres:17; do
		if has_image "$image"; then
			stage=(--stage docker --image "$image")
			break
		fi
	done
	if [ ${#stage[@]} -eq 0 ]; then
		say 'no image of PostgreSQL 17 here, trying to pull postgres:17'
		if timeout 120 docker pull --quiet postgres:17 >build/demo-pull.log 2>&1; then
			stage=(--stage docker --image postgres:17)
		else
			say "no registry gave it ($(tail -n 1 build/demo-pull.log)); building one from Debian's packages"
			if make --no-print-directory image PG=17; then
				stage=(--stage docker --image lockproof/postgres:17)
			else
				say 'that failed too, so no container'
			fi
		fi
	fi
else
	say 'no container engine answers'
fi
if [ ${#stage[@]} -eq 0 ]; then
	local_server || die 'neither an image nor the binaries of a PostgreSQL server are to be had here' \
		'start a container engine, or install the server (Debian: tests/setup.sh)' 3
	stage=(--stage local)
fi
say "stage: ${stage[*]}, $rows rows"

# replay NAME: runs one scenario, its report in build/demo-NAME.json, and leaves the exit code in `code`.
replay() {
	local started=$SECONDS
	printf '\n'
	say "scenarios/listings-$1"
	rm -f "build/demo-$1.json"
	code=0
	"$program" run "scenarios/listings-$1" "${stage[@]}" --var "rows=$rows" --var "sleep=$sleep" \
		--json "build/demo-$1.json" || code=$?
	say "listings-$1: exit code $code after $((SECONDS - started)) s"
}

# One line for each step that exceeded: its name, a tab, the longest judged hold and its relation. Nothing when
# neither jq nor python3 is there: the program's own table above has said it all.
exceeded() {
	if command -v jq >/dev/null; then
		jq -r '.steps[] | select(.verdict == "exceeded")
			| ([.holds[] | select(.judged)] | max_by(.hold_ms.at_least)) as $hold
			| select($hold != null)
			| "\(.name)\theld \($hold.mode) on \($hold.relation) for at least \($hold.hold_ms.at_least | round) ms"' "$1"
	elif python3 -c 'import json' >/dev/null 2>&1; then
		python3 - "$1" <<'PYTHON'
import json, sys
for step in json.load(open(sys.argv[1]))["steps"]:
    holds = [hold for hold in step["holds"] if hold["judged"]]
    if step["verdict"] == "exceeded" and holds:
        hold = max(holds, key=lambda hold: hold["hold_ms"]["at_least"])
        print(f"{step['name']}\theld {hold['mode']} on {hold['relation']} for at least {hold['hold_ms']['at_least']:.0f} ms")
PYTHON
	fi
}

replay published
published=$code
replay redesigned
redesigned=$code

printf '\n'
as_expected=1
case $published in
	1)
		say 'published recipe: EXCEEDED, as expected'
		steps=
		found=$(exceeded build/demo-published.json) || die 'build/demo-published.json is not the report that was expected' 'look into it, it may be from another version of the program'
		while IFS=$'\t' read -r step what; do
			[ -n "$step" ] || continue
			say "  at the step $step, which $what; the budget is 50 ms"
			steps+=" $step"
		done <<<"$found"
		if [ -n "$steps" ] && [[ "$steps " != *' set-not-null '* ]]; then
			say '  but not at set-not-null, where it was expected to'
			as_expected=0
		else
			say '  why: nothing proves that no NULL is left, so SET NOT NULL reads the whole table under its lock'
		fi
		;;
	0) say "published recipe: WITHIN, which was not expected; $rows rows may be too few, try a larger DEMO_ROWS"; as_expected=0 ;;
	*) say "published recipe: no verdict, exit code $published"; as_expected=0 ;;
esac
case $redesigned in
	0)
		say 'redesigned: WITHIN at every step, as expected'
		say '  why: VALIDATE CONSTRAINT read the table under a lock that blocks neither reads nor writes, and proved it to SET NOT NULL'
		;;
	1) say 'redesigned: EXCEEDED, which was not expected; see build/demo-redesigned.json'; as_expected=0 ;;
	*) say "redesigned: no verdict, exit code $redesigned"; as_expected=0 ;;
esac
[ $as_expected = 1 ]
