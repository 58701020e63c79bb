"""Where trials run: this machine alone, or a Ray cluster that is up already."""

import logging
import os
import signal
import socket
from dataclasses import dataclass, replace

import ray
import torch

from embedding_core.faults import Faults
from sweeps.engine.options import Options

DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our store holds the rows
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",  # resuming reads our tables, never Ray's snapshots
    "RAY_AIR_NEW_OUTPUT": "0",  # the other output engine prints tables whatever `verbose` says
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the trials table has them
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU share sees no GPU
}
TRIAL_ENVIRONMENT = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}

DEFAULT_GPU_SHARE = 0.25
ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Slots:
    """Resources of a trial, and how many trials fit at once."""

    cpus: float
    gpus: float
    concurrent: int
    dashboard: str | None = None
    """Address of Ray's dashboard, where this process started Ray or joined a cluster."""


def local_faults(options: Options) -> list[str]:
    """What this machine cannot give; nothing about a cluster, which is asked after connecting."""
    if joins_cluster(options):
        return []
    return _share_faults(options, cpus=os.cpu_count() or 1, gpus=torch.cuda.device_count())


def joins_cluster(options: Options) -> bool:
    """Whether trials run on a cluster that is up already."""
    named = options.address or os.environ.get("RAY_ADDRESS")
    return ray.is_initialized() or (not options.local and bool(named))


def connect(options: Options) -> Slots:
    """Start or join Ray; a Ray that this process has started already is used as it is.

    Raises:
        Faults: no such cluster, or it is too small for one trial.
    """
    os.environ.update(DRIVER_ENVIRONMENT)
    dashboard = None
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
    return replace(slots(options), dashboard=dashboard)


def _answers(address: str) -> None:
    """Ask a `host:port` first: Ray retries a dead one for minutes.

    Raises:
        OSError: nothing listens there.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=ANSWER_TIMEOUT_S).close()


def slots(options: Options) -> Slots:
    """What a trial holds in the Ray that is up.

    Raises:
        Faults: not even one trial fits.
    """
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    faults = _share_faults(options, cpus=cpus, gpus=gpus)
    if faults:
        raise Faults(faults)
    share = options.gpus_per_trial
    share = (DEFAULT_GPU_SHARE if gpus else 0.0) if share is None else share
    fit = int(cpus / options.cpus_per_trial + 1e-9)
    if share:
        fit = min(fit, int(gpus / share + 1e-9))
    return Slots(options.cpus_per_trial, share, min(fit, options.max_concurrent or fit))


def _share_faults(options: Options, *, cpus: float, gpus: float) -> list[str]:
    faults = []
    if (options.gpus_per_trial or 0) > gpus:
        faults.append(
            f"`--gpus-per-trial` must be at most the {gpus:g} GPUs there are, but got {options.gpus_per_trial:g}."
        )
    if options.cpus_per_trial > cpus:
        faults.append(
            f"`--cpus-per-trial` must be at most the {cpus:g} CPUs there are, but got {options.cpus_per_trial:g}."
        )
    return faults
