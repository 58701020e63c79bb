"""What ended a trial whose process could not say so itself, its retries being used up."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial

from trainables.failures import ERROR_LENGTH, TRACEBACK_LENGTH, described

SUMMARY_LINES = 2


class HostMemoryError(RayActorError):
    """Ray's memory monitor killed the process, lest the whole machine ran out of memory."""


class _Manager(RayActorManager):
    """Hands on that the memory monitor killed an actor as what it is, the death of an actor."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = HostMemoryError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, exception)


@contextmanager
def memory_deaths_survived() -> Iterator[None]:
    """While a Tuner is run: its actor manager ends the whole experiment over an error that it does not know."""
    name = RayActorManager.__name__
    setattr(tune_controller, name, _Manager)
    try:
        yield
    finally:
        setattr(tune_controller, name, RayActorManager)


def ending_of(trial: Trial, *, silent_s: float, deadline_s: float) -> dict[str, Any]:
    """`end_reason`, `error_type` and `traceback` for `trials`.

    Args:
        trial: one that ended in an error for Ray.
        silent_s: seconds since it was started or sent a row.
        deadline_s: seconds without a row after which its process ends itself; 0: never.
    """
    error = _error_of(trial)
    if isinstance(error, HostMemoryError):
        return {"end_reason": "oom", "error_type": _summary(error), "traceback": None}
    if isinstance(error, RayActorError) and not error.actor_init_failed:
        if deadline_s and silent_s >= deadline_s:
            return {"end_reason": "error", "error_type": f"No row within {deadline_s:g} s.", "traceback": None}
        return {"end_reason": "preempted", "error_type": _summary(error), "traceback": None}
    if error is None:
        text = "The trial's process ended without an error of its own."
        return {"end_reason": "preempted", "error_type": text, "traceback": None}
    cause = error.cause if isinstance(error, RayTaskError) else error
    return {"end_reason": "error", "error_type": described(cause), "traceback": str(error)[-TRACEBACK_LENGTH:]}


def _error_of(trial: Trial) -> BaseException | None:
    """A trial's last error, from the file that Tune has just written in this process's own folder."""
    file = trial.pickled_error_file
    if file is None or not Path(file).is_file():
        return None
    error: BaseException = cloudpickle.loads(Path(file).read_bytes())
    return error


def _summary(error: RayActorError) -> str:
    """What an actor's death says, without the indented lines on which actor it was and the long ones of memory use."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    return f"{type(error).__name__}: {' '.join(lines[:SUMMARY_LINES])}"[:ERROR_LENGTH]
