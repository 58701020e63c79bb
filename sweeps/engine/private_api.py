"""What leans on names of Ray and Optuna that they do not promise to keep: all of it is here, with the reason for each.

`tests/sweeps/engine/test_private_api.py` has a test per name, which fails by that name once a version moves it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
import ray
from optuna.trial import FrozenTrial, Trial
from ray import cloudpickle
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial as RayTrial

AUTOSCALER_CONFIG: Final = Path("~/ray_bootstrap_config.yaml")
"""`ray up` leaves it on the head; only there does a driver read what the autoscaler may yet start."""


class HostMemoryError(RayActorError):
    """Ray's memory monitor killed the process, lest the whole machine ran out of memory."""


class _MemoryDeathsAreDeaths(RayActorManager):
    """Hands on that the memory monitor killed an actor as what it is, the death of an actor."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = HostMemoryError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, exception)


@contextmanager
def memory_deaths_survived() -> Iterator[None]:
    """While a Tuner is run: its actor manager ends the whole experiment over an error that it does not know.

    Tune takes no manager of ours, so the name under which its controller finds the class stands for ours meanwhile.
    """
    name = RayActorManager.__name__
    setattr(tune_controller, name, _MemoryDeathsAreDeaths)
    try:
        yield
    finally:
        setattr(tune_controller, name, RayActorManager)


def end_processes(trials: Iterable[RayTrial]) -> None:
    """End the processes of the trials that run, without waiting for the epochs that they are in.

    Tune gives each of them ten seconds to finish its step, as long as a sweep that is asked to stop may take in all.
    """
    for trial in trials:
        process = trial.temporary_state.ray_actor
        if process is not None:
            ray.kill(process)


def last_error(trial: RayTrial) -> BaseException | None:
    """A trial's last error: callbacks are told that there was one, and not which.

    It is in the file that Tune has just written in this process's own folder.
    """
    file = trial.pickled_error_file
    if file is None or not Path(file).is_file():
        return None
    error: BaseException = cloudpickle.loads(Path(file).read_bytes())
    return error


def gone_on_with(study: optuna.Study, trial: FrozenTrial) -> Trial:
    """A trial that is RUNNING in the study's storage, to suggest its stored parameters again, report and be told.

    `Study.ask` begins new trials alone, and whoever made this one is gone.
    """
    return Trial(study, trial._trial_id)


def reported(trial: Trial) -> Mapping[int, float]:
    """Values by step as the storage has them: Optuna warns of a step reported twice, and does not say which were."""
    return trial.storage.get_trial(trial._trial_id).intermediate_values
