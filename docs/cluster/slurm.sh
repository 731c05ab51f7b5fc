#!/bin/bash
# A fit on 8 nodes under Slurm: one rank a node, all of its cores (for GPUs: one rank for each).
#   sbatch docs/cluster/slurm.sh /shared/rows/*.parquet
#SBATCH --job-name=gpulogit
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --time=02:00:00
# With GPUs, in the place of the two lines above: --ntasks-per-node=4 --gpus-per-node=4
set -euo pipefail

# The file system that all nodes share: the rows, the checkpoint and the model.
checkpoint="${SLURM_SUBMIT_DIR}/fit-${SLURM_JOB_ID}.checkpoint"

# srun starts the ranks by PMIx (`srun --mpi=list` says what yours has); when one is lost the others end, and the job with them.
srun --mpi=pmix --kill-on-bad-exit=1 \
    gpulogit train "$@" --target y --device auto --checkpoint "$checkpoint" --resume --model model.json
