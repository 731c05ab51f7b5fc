#!/usr/bin/env bash
# A wrapper of rustc that takes libFuzzer's instruments out of every crate that reads no input: libFuzzer looks through all counters
# after each execution, and those of the GPU's crates are most of them. run.sh uses it.
set -euo pipefail

instrumented=" csv csv_core parquet arrow_array arrow_buffer arrow_data arrow_ipc arrow_schema arrow_select flatbuffers npyz rawzip
    serde_json fast_float2 clap_builder gpulogit gpulogit_fuzz svmlight npy arrow model checkpoint cache options "

name="" previous=""
for argument in "$@"; do
    if [ "$previous" = --crate-name ]; then name="$argument"; fi
    previous="$argument"
done
if [[ $instrumented == *[[:space:]]"$name"[[:space:]]* ]]; then exec "$@"; fi
plain=()
for argument in "$@"; do
    case "$argument" in
        *sancov-module* | *sanitizer-coverage*) ;;
        *) plain+=("$argument") ;;
    esac
done
exec "${plain[@]}"
