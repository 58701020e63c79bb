"""Where trials run: this machine alone, or a Ray cluster that is up already."""

import logging
import os
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

import ray

from embedding_core.errors import Faults
from embedding_core.storage.fetched import LISTING
from sweeps.doctor.local_ray import make_token
from sweeps.engine.private_api import address_of_auto

DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our store holds the rows
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",  # resuming reads our tables, never Ray's snapshots
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `Interruption` hears it, whatever is under way
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # `RoomLimiter` decides; Tune's own limit is settled before nodes join
    "RAY_AIR_NEW_OUTPUT": "0",  # the other output engine prints tables whatever `verbose` says
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the trials table has them
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_prestart_worker_first_driver": "0",  # these lack the trials' environment: a second or more each, for nothing
}
TRIAL_ENVIRONMENT = {
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU share sees no GPU
}

ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where trials are to run, as the user asks for it."""

    local: bool = False
    """On this machine alone, whatever $RAY_ADDRESS says."""
    address: str | None = None
    """Of a Ray cluster; None: $RAY_ADDRESS, else this machine."""

    @property
    def cluster(self) -> str | None:
        """Address of the cluster that is to be joined, if one is."""
        return None if self.local else self.address or os.environ.get("RAY_ADDRESS") or None


def joins_cluster(where: Where) -> bool:
    """Whether trials run on a cluster that is up already."""
    return ray.is_initialized() or where.cluster is not None


def connect(where: Where) -> str | None:
    """Start or join Ray, which takes SIGTERM for itself; a Ray that this process has started is used as it is.

    Returns:
        Address of Ray's dashboard, where this process started Ray or joined a cluster.

    Raises:
        Faults: no such cluster.
    """
    os.environ.update(DRIVER_ENVIRONMENT)
    dashboard: str | None = None
    if not ray.is_initialized():
        address = where.cluster or "local"
        try:
            if where.cluster is None:
                make_token()
            _answers(address)
            context = ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {**TRIAL_ENVIRONMENT, LISTING: uuid4().hex}},
            )
        except Exception as error:  # Ray raises a bare one where its processes do not come up in time
            raise Faults([_not_connected(where, error)]) from error
        dashboard = context.dashboard_url
    return dashboard


def wants_token(dashboard: str) -> bool:
    """Whether Ray's dashboard shows nothing to those who have no token. Args: dashboard: its `host:port`."""
    try:
        urllib.request.urlopen(f"http://{dashboard}/api/version", timeout=ANSWER_TIMEOUT_S).close()
    except urllib.error.HTTPError as refused:
        return refused.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    except OSError:  # not up, or not to be reached from here
        pass
    return False


def _not_connected(where: Where, error: Exception) -> str:
    """Why there is no Ray; what could be known before, `local_ray.before_start` has said."""
    if where.cluster is not None:
        return f"No Ray cluster answers at `{where.cluster}`: {error}"
    return (
        f"Ray cannot be started on this machine: {str(error).rstrip('.')}. `koleo-sweeps doctor` looks for the cause."
    )


def _answers(address: str) -> None:
    """Ask where it is first: Ray retries an address that is dead for a quarter of an hour, and hears no signal then.

    Raises:
        OSError: nothing listens there, or, of `auto`, no Ray was ever started on this machine.
    """
    found = address_of_auto() if address == "auto" else address
    host, colon, port = (found or "").rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_TIMEOUT_S).close()
    except OSError as error:
        if address == found:
            raise
        raise OSError(f"Ray was last started here at {found}, and nothing answers there: {error}") from error
