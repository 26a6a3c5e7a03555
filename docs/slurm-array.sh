#!/bin/bash
# A sweep as a SLURM job array: one shard per task.
#
#   sbatch --array=1-16 docs/slurm-array.sh FIGURE [OPTION…]     e.g. sbatch --array=1-16 docs/slurm-array.sh gauss-a --scale full
#
# Give every call the same options. A task that was killed or ran out of time continues where it stopped when the same
# line is submitted again. Afterwards, once:
#
#   pertlearn merge OUT/runs-*-of-16.jsonl --out OUT/runs.jsonl
#   pertlearn paper FIGURE [OPTION…] --out OUT --resume         # draws; there is nothing left to run
#
# OUT is $PERTLEARN_OUT (default pertlearn-paper), a directory that all nodes see. Number the array from 1 without gaps. To
# submit some tasks of it again only, say how many shards there were: PERTLEARN_SHARDS=16 sbatch --array=3,7 …
#SBATCH --job-name=pertlearn
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --output=pertlearn-%A-%a.log
#SBATCH --open-mode=append
#SBATCH --requeue

set -euo pipefail

out=${PERTLEARN_OUT:-pertlearn-paper}
program=${PERTLEARN:-pertlearn}
shard=$SLURM_ARRAY_TASK_ID/${PERTLEARN_SHARDS:-$SLURM_ARRAY_TASK_COUNT}

exec "$program" paper "$@" --out "$out" --shard "$shard" --resume --threads "${SLURM_CPUS_PER_TASK:-1}"
