#!/usr/bin/env bash
# Runs the fuzz targets for a bounded time each; `make fuzz` calls it.
#
#   FUZZ_SECONDS=60  how long each target runs
#   FUZZ='split'     which targets run: recording, scenario, split
#
# Exit code 1 when a target fails; the input is kept in fuzz/artifacts. What the targets find on the way
# is kept in fuzz/corpus and makes the next run start where this one ended.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
targets=${FUZZ:-recording scenario split}
triple=$(rustc -vV | sed -n 's/^host: //p')

if ! command -v "${CXX:-c++}" >/dev/null; then
    echo "fuzz: no C++ compiler for libFuzzer: install g++, or name one in CXX" >&2
    exit 1
fi

# What `cargo fuzz` passes, without the sanitizer: it takes a nightly compiler, and there is no unsafe
# code to catch. A target that is named keeps build scripts out of it.
flags='--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module'
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTFLAGS="${RUSTFLAGS:-} $flags" cargo build --locked --release --manifest-path fuzz/Cargo.toml \
    --target "$triple" --target-dir fuzz/target

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT

# The tree's own files to start from: copied, so that they are kept once.
mkdir "$seeds/recording" "$seeds/scenario" "$seeds/split"
for recording in tests/recordings/*.jsonl; do
    # The long ones say little more in their later lines.
    head -n 60 "$recording" >"$seeds/recording/$(basename "$recording")"
done
for scenario in scenarios/*/scenario.toml; do
    cp "$scenario" "$seeds/scenario/$(basename "$(dirname "$scenario")").toml"
done
sed -n '/^```toml$/,/^```$/p' README.md | grep -v '^```' >"$seeds/scenario/readme.toml"
for sql in $(find scenarios snapshots tests -name '*.sql'); do
    cp "$sql" "$seeds/split/$(tr / _ <<<"$sql")"
done

# Words to put in: those of the seeds, and the keys that the code knows.
dictionary() {
    case $1 in
        scenario) cat "$seeds"/scenario/* src/config/*.rs ;;
        split) cat "$seeds"/split/* src/sql/*.rs ;;
        recording) cat "$seeds"/recording/* ;;
    esac | grep -oE '[A-Za-z_]{3,24}' | sort -u | sed 's/.*/"&"/'
}

failed=''
for target in $targets; do
    echo "fuzz: $target, $seconds s"
    dictionary "$target" >"$seeds/$target.dict"
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=$seeds/$target.log
    if "fuzz/target/$triple/release/$target" "fuzz/corpus/$target" "$seeds/$target" \
        -dict="$seeds/$target.dict" -artifact_prefix="fuzz/artifacts/$target/" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
        -print_final_stats=1 >"$log" 2>&1; then
        # How many were run, what they reached at first and at last.
        grep -E 'INITED|DONE|number_of_executed_units|peak_rss_mb' "$log" || true
    else
        failed+=" $target"
        tail -n 60 "$log"
        echo "fuzz: $target fails; the inputs that do are kept, run it again with" >&2
        for input in "fuzz/artifacts/$target"/*; do
            echo "  fuzz/target/$triple/release/$target $input" >&2
        done
    fi
done
if [ -n "$failed" ]; then
    echo "fuzz: failed:$failed" >&2
    exit 1
fi
