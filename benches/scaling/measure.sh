#!/usr/bin/env bash
# Two ranks of one thread each beside one rank of one thread, in turn, on 4,000,000 rows × 64 features made up by NumPy (1 GB of f32):
#   PYTHON=python3 benches/scaling/measure.sh [FOLDER] [ROUNDS]
# Needs an MPI, NumPy for the rows (once), and `cargo build --release --features mpi`.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${1:-target/scaling}" rounds="${2:-3}"
mkdir -p "$folder"
[ -e "$folder/x.npy" ] || "${PYTHON:-python3}" benches/scaling/rows.py "$folder"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
echo "ranks read pack solve verify total passes reductions waiting"
for _ in $(seq "$rounds"); do
    for ranks in 1 2; do
        mpirun -n "$ranks" --bind-to none target/release/gpulogit train "$folder/x.npy" --target-file "$folder/y.npy" \
            --device cpu --threads 1 --json --quiet --model "$folder/model$ranks.json" >"$folder/report.json"
        "${PYTHON:-python3}" - "$folder/report.json" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
s, c = r["seconds"], r.get("communication", {})
print(r["ranks"], *(f"{s[k]:.2f}" for k in ("read", "upload", "solve", "verify", "total")), r["passes"], c.get("reductions", 0), f"{c.get('seconds', 0):.3f}")
PY
    done
done
