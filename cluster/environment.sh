# Read by every shell of every node (its ~/.bashrc): the commands of the cluster file, its jobs, and people who log in.
# PATH and the token come together: a node that has not read this file finds no `ray` and so starts no open cluster.
export PATH="$HOME/koleo-sweeps/.venv/bin:$PATH"

# Nobody submits a job, reads the state or joins without the token in ~/.ray/auth_token.
export RAY_AUTH_MODE=token

# Nothing is sent to anybody.
export RAY_USAGE_STATS_ENABLED=0

# `ray job stop` ends a sweep as Ctrl-C does, and gives it time to write what it holds; it can be resumed afterwards.
export RAY_JOB_STOP_SIGNAL=SIGINT RAY_JOB_STOP_WAIT_TIME_S=60

# A worker that has not heard of the head for this many seconds ends itself, on machines of one's own too.
export RAY_gcs_rpc_server_reconnect_timeout_s=30

# Images are decoded once per node, onto its own disk: memory-mapped files and network file systems do not go together.
export EMBED_CACHE_DIR="$HOME/koleo-sweeps/cache"
