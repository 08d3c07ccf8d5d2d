#!/bin/bash
#SBATCH --job-name=nuclei
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=6G
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
#
# A part of the slides for each job of an array; all share one ledger, results/batch.csv. A job that is stopped, by its
# time limit or by preemption, is submitted again as it is: finished slides stay, the one in hand goes on inside.
#
#   sbatch docs/cluster/slurm_array.sh SLIDES RESULTS

set -euo pipefail
exec wsi-nucssl segment "$1" --output "$2" \
    --shard "${SLURM_ARRAY_TASK_ID}/${SLURM_ARRAY_TASK_COUNT}" \
    --workers "${SLURM_CPUS_PER_TASK:-2}" \
    --resume
