#!/usr/bin/env bash
# A sweep on nodes that Slurm gives: sbatch cluster/slurm.sh sweeps/koleo_accum.py --preset standard --name first
# Run it in the project's folder, which all nodes see, as they see $HOME; go on with the same command and --resume.
#
# Ray runs on every node with the CPUs that Slurm gave the job there, and on ports of this job, so that jobs share nodes. (`ray
# symmetric-run` refuses where another Ray runs, and at its end stops all of yours on the node.) Ray ends with the job.
#SBATCH --job-name=koleo-sweeps
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@300
# Five minutes before its time is over the sweep is told, and ends in good order.
set -euo pipefail

python=${KOLEO_PYTHON:-.venv/bin/python}
ray="$python -m ray.scripts.scripts"

# Whoever has the token runs code in this job. It lies in $HOME, where all nodes find it.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
$ray get-auth-token --generate >/dev/null

# Slurm's own temporary folder may have a path too long for Ray's sockets.
export RAY_TMPDIR=${RAY_TMPDIR:-/tmp}

# Below the ports that Linux gives out by itself; jobs whose numbers differ by a multiple of 1,200 have the same.
port=$((20000 + SLURM_JOB_ID % 1200 * 10))
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(getent ahostsv4 "$head" | awk 'NR == 1 { print $1 }'):$port
node=(--num-cpus="$SLURM_CPUS_PER_TASK" --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=$((port + 1)) --block)
step=(--ntasks-per-node=1 --cpus-per-task="$SLURM_CPUS_PER_TASK")

srun "${step[@]}" --nodes=1 --ntasks=1 --nodelist="$head" \
  $ray start --head --node-ip-address="${address%:*}" --port="$port" --dashboard-host=127.0.0.1 --dashboard-port=$((port + 2)) \
  --ray-client-server-port=$((port + 3)) "${node[@]}" >"ray-$SLURM_JOB_ID.log" 2>&1 &
timeout 300 bash -c "until : </dev/tcp/${address%:*}/$port; do sleep 1; done" 2>/dev/null ||
  { echo "Ray's head has not started:" >&2; cat "ray-$SLURM_JOB_ID.log" >&2; exit 1; }
if ((SLURM_NNODES > 1)); then
  srun "${step[@]}" --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" \
    $ray start --address="$address" "${node[@]}" >>"ray-$SLURM_JOB_ID.log" 2>&1 &
fi

# In this shell's place, so that Slurm's signals reach the sweep; workers that come later are used when they do.
exec "$python" "$@" --address "$address"
