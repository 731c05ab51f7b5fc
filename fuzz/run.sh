#!/usr/bin/env bash
# Fuzzes every target, or those named, one after the other, and prints a table: ./fuzz/run.sh [TARGET...]
# RUNS executions each (a million), from the seeds and what earlier runs kept in fuzz/corpus. A finding is left in fuzz/artifacts.
# It needs a nightly compiler and cargo-fuzz (cargo install cargo-fuzz).
set -euo pipefail
cd "$(dirname "$0")"

RUNS="${RUNS:-1000000}"
targets=("$@")
if [ ${#targets[@]} = 0 ]; then targets=(csv svmlight npy parquet arrow model checkpoint cache options); fi

# Inputs are files: in memory where that is to be had.
if [ -d /dev/shm ]; then TMPDIR="$(mktemp -d /dev/shm/fuzz.XXXXXX)"; else TMPDIR="$(mktemp -d)"; fi
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# No sanitizer: the code is safe Rust but for a few loops of arithmetic, and memory is limited by the allocator of tests/hostile.
RUSTC_WRAPPER="$PWD/covered.sh" cargo +nightly fuzz build --sanitizer none >&2
built="target/$(rustc -vV | sed -n 's/^host: //p')/release"

printf '%-12s %12s %8s %10s %9s\n' target executions corpus seconds findings
for target in "${targets[@]}"; do
    mkdir -p "artifacts/$target" "corpus/$target"
    log="artifacts/$target.log"
    begin=$SECONDS
    "$built/$target" -runs="$RUNS" -timeout=20 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "corpus/$target" >"$log" 2>&1 || true
    executions="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    findings="$(find "artifacts/$target" -type f | wc -l)"
    printf '%-12s %12s %8s %10s %9s\n' "$target" "${executions:-?}" "$(find "corpus/$target" -type f | wc -l)" \
        $((SECONDS - begin)) "$findings"
    rm -rf "${TMPDIR:?}"/*
done
