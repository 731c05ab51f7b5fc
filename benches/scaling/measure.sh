#!/usr/bin/env bash
# Two ranks of one thread each beside one rank of one thread, in turn, on 4,000,000 rows × 64 features made up by NumPy (1 GB of f32), and
# what a request and a sum take where there is nothing to compute:
#   PYTHON=python3 benches/scaling/measure.sh [FOLDER] [ROUNDS]
# Needs an MPI, NumPy for the rows (once), and `cargo build --release --features mpi`.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${1:-target/scaling}" rounds="${2:-5}"
python="${PYTHON:-python3}"
mkdir -p "$folder"
[ -e "$folder/few/y.npy" ] || "$python" benches/scaling/rows.py "$folder"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

# fit RANKS ROWS REPORT [OPTION...]: on one thread a rank
fit() {
    local ranks="$1" rows="$2" report="$3"
    shift 3
    mpirun -n "$ranks" --bind-to none target/release/gpulogit train "$rows/x.npy" --target-file "$rows/y.npy" --device cpu --threads 1 \
        --json --quiet "$@" >"$folder/$report"
}

for round in $(seq "$rounds"); do
    for ranks in 1 2; do fit "$ranks" "$folder" "fit-$ranks-$round.json" --model "$folder/model$ranks.json"; done
done
# It does not converge, nor is it to.
fit 2 "$folder/few" messages.json --solver gd --learning-rate 1e-3 --max-iter 5000 --tol 1e-30 --no-verify 2>/dev/null || true
"$python" benches/scaling/summary.py "$folder" "$rounds"
