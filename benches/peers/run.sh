#!/usr/bin/env bash
# Measures gpulogit beside its peers and writes docs/benchmarks.md: ./benches/peers/run.sh [--quick]
# Fits many models at once beside scikit-learn doing them in turn: ./benches/peers/run.sh --many
# Fits many classes beside scikit-learn: ./benches/peers/run.sh --classes [--letters FILE.csv]
# Fits with l1 beside skglm and scikit-learn's saga: ./benches/peers/run.sh --l1 FILE.csv.. (paths from the root of the repository)
# Judges predictions beside scikit-learn: ./benches/peers/run.sh --metrics
# Compares --inference with statsmodels: ./benches/peers/run.sh --inference [FOLDER of references.json and its sets]
# Fits what docs/migrating.md maps by both sides: ./benches/peers/run.sh --migrating
# Reads files beside polars and pyarrow, and fits what memory does not hold: ./benches/peers/run.sh --files
# Installs the peers in a virtual environment outside the repository (GPULOGIT_PEERS, by default in the cache directory).
set -euo pipefail
cd "$(dirname "$0")"

place="${GPULOGIT_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/gpulogit-peers}"
mkdir -p "$place"
[ -x "$place/venv/bin/python" ] || python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
cargo build --quiet --release --locked --manifest-path ../../Cargo.toml
if [ "${1:-}" = "--many" ]; then
    shift
    # Threads are joblib's to share out: numbers in the environment would have each of its processes use all cores.
    export NODEVICE_SELECT=1
    exec "$place/venv/bin/python" many.py --place "$place" --gpulogit ../../target/release/gpulogit "$@"
fi
if [ "${1:-}" = "--classes" ]; then
    shift
    export NODEVICE_SELECT=1 OMP_NUM_THREADS="$(nproc)" OPENBLAS_NUM_THREADS="$(nproc)"
    exec "$place/venv/bin/python" classes.py --place "$place" --gpulogit ../../target/release/gpulogit "$@"
fi
if [ "${1:-}" = "--l1" ]; then
    shift
    cd ../..
    exec "$place/venv/bin/python" benches/peers/l1.py target/release/gpulogit "$@"
fi
if [ "${1:-}" = "--metrics" ]; then
    exec "$place/venv/bin/python" metrics.py ../../target/release/gpulogit
fi
if [ "${1:-}" = "--inference" ]; then
    shift
    exec "$place/venv/bin/python" inference.py ../../target/release/gpulogit "$@"
fi
if [ "${1:-}" = "--migrating" ]; then
    exec "$place/venv/bin/python" migrating.py ../../target/release/gpulogit
fi
if [ "${1:-}" = "--files" ]; then
    shift
    export NODEVICE_SELECT=1 POLARS_MAX_THREADS="$(nproc)" OMP_NUM_THREADS="$(nproc)" OPENBLAS_NUM_THREADS="$(nproc)"
    exec "$place/venv/bin/python" files.py --place "$place" --gpulogit ../../target/release/gpulogit "$@"
fi
CARGO_TARGET_DIR="$place/linfa" cargo build --quiet --release --locked --manifest-path linfa/Cargo.toml

threads="$(nproc)"
export NODEVICE_SELECT=1 OMP_NUM_THREADS="$threads" OPENBLAS_NUM_THREADS="$threads"
exec "$place/venv/bin/python" peers.py --place "$place" --gpulogit ../../target/release/gpulogit \
    --linfa "$place/linfa/release/linfa-peer" "$@"
