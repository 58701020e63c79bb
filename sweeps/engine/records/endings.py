"""How a trial ended as the driver sees it: told by its last row, stopped by ASHA, dead with its process, or lost.

What its process can tell is decided in `embedding_core.train` (completed, diverged, collapsed) and, of what that
raises, in `trainables.endings` (oom, error, preempted). `sweeps.results.endings` lists all endings.
"""

from typing import Any

import torch
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial

from embedding_core.storage.result_tables import Row
from sweeps.engine.private_api import HostMemoryError, last_error
from sweeps.results.endings import OOM_SHARED
from trainables.endings import ERROR_LENGTH, TRACEBACK_LENGTH, described

SUMMARY_LINES = 2

Ending = dict[str, Any]
"""`end_reason` for `trials`; of what went wrong also `error_type` and `traceback`."""


def of_last_row(row: Row, *, gpu_share: float = 0.0) -> Ending:
    """Of a trial that Tune calls complete: the word of its process, or else it was the scheduler that ended it.

    Args:
        row: its last one.
        gpu_share: of a GPU that it held; what is short of memory on a part of one has not been tried on the whole.
    """
    reason = row.get("end_reason") or "asha_stopped"
    of_device = str(row.get("error_type")).startswith(torch.OutOfMemoryError.__name__)
    return {"end_reason": OOM_SHARED if reason == "oom" and of_device and 0 < gpu_share < 1 else reason}


def of_death(trial: Trial, *, silent_s: float, deadline_s: float) -> Ending:
    """Of a trial whose process could not say so itself, its retries being used up.

    Args:
        trial: one that ended in an error for Ray.
        silent_s: seconds since it was started or sent a row.
        deadline_s: seconds without a row after which its process ends itself; 0: never.
    """
    error = last_error(trial)
    if isinstance(error, HostMemoryError):
        return _failure("oom", _summary(error))
    if isinstance(error, RayActorError) and not error.actor_init_failed:
        if deadline_s and silent_s >= deadline_s:
            return _failure("error", f"No row within {deadline_s:g} s.")
        return _failure("preempted", _summary(error))
    if error is None:
        return _failure("preempted", "The trial's process ended without an error of its own.")
    cause = error.cause if isinstance(error, RayTaskError) else error
    return _failure("error", described(cause), str(error)[-TRACEBACK_LENGTH:])


def of_lost_results(why: Exception) -> Ending:
    """Of a trial that completed and whose results on held-out images cannot be read: it is computed again."""
    return _failure("preempted", f"Results on held-out images are lost: {why}"[:ERROR_LENGTH])


def _failure(end_reason: str, error_type: str, traceback: str | None = None) -> Ending:
    return {"end_reason": end_reason, "error_type": error_type, "traceback": traceback}


def _summary(error: RayActorError) -> str:
    """What an actor's death says, without the indented lines on which actor it was and the long ones of memory use."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    return f"{type(error).__name__}: {' '.join(lines[:SUMMARY_LINES])}"[:ERROR_LENGTH]
