"""Where trials run: this machine alone, or a Ray cluster that is up already."""

import logging
import os
import signal
import socket

import ray
import torch

from embedding_core.errors import Faults
from sweeps.cli.options import Options
from sweeps.engine.resources import share_faults

DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our store holds the rows
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",  # resuming reads our tables, never Ray's snapshots
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # `RoomLimiter` decides; Tune's own limit is settled before nodes join
    "RAY_AIR_NEW_OUTPUT": "0",  # the other output engine prints tables whatever `verbose` says
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the trials table has them
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
TRIAL_ENVIRONMENT = {
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU share sees no GPU
}

ANSWER_TIMEOUT_S = 5.0


def local_faults(options: Options) -> list[str]:
    """What this machine cannot give; of a cluster only its address, the rest is asked after connecting."""
    if joins_cluster(options):
        address = options.address or os.environ.get("RAY_ADDRESS") or ""
        client = f"`{address}` is an address of Ray's client, where no driver runs: submit the sweep as a job instead."
        return [client] if address.startswith("ray://") else []
    gpus = torch.cuda.device_count()
    if options.gpus_per_trial == "auto" and not gpus:
        return ["`--gpus-per-trial auto` tries a trial on a GPU, and this machine has none."]
    asked = 0.0 if options.gpus_per_trial in (None, "auto") else float(options.gpus_per_trial)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    this = {"CPU": float(os.cpu_count() or 1), "GPU": float(gpus), "memory": float(memory)}
    return share_faults(options, [this], gpus=asked)


def joins_cluster(options: Options) -> bool:
    """Whether trials run on a cluster that is up already."""
    named = options.address or os.environ.get("RAY_ADDRESS")
    return ray.is_initialized() or (not options.local and bool(named))


def connect(options: Options) -> str | None:
    """Start or join Ray; a Ray that this process has started already is used as it is.

    Returns:
        Address of Ray's dashboard, where this process started Ray or joined a cluster.

    Raises:
        Faults: no such cluster.
    """
    os.environ.update(DRIVER_ENVIRONMENT)
    dashboard: str | None = None
    if not ray.is_initialized():
        address = options.address or os.environ.get("RAY_ADDRESS") if joins_cluster(options) else "local"
        try:
            _answers(str(address))
            context = ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": TRIAL_ENVIRONMENT},
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise Faults([f"No Ray cluster answers at `{address}`: {error}"]) from error
        dashboard = context.dashboard_url
    # Ray installs handlers of its own; a polite kill should end a sweep as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    return dashboard


def _answers(address: str) -> None:
    """Ask a `host:port` first: Ray retries a dead one for minutes.

    Raises:
        OSError: nothing listens there.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=ANSWER_TIMEOUT_S).close()
