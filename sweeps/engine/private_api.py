"""What leans on names of Ray and Optuna that they do not promise to keep: all of it is here, with the reason for each.

`tests/sweeps/engine/test_private_api.py` has a test per name, which fails by that name once a version moves it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
import ray
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.trial import FrozenTrial, Trial
from ray import cloudpickle
from ray._private.services import canonicalize_bootstrap_address
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial as RayTrial

AUTOSCALER_CONFIG: Final = Path("~/ray_bootstrap_config.yaml")
"""`ray up` leaves it on the head; only there does a driver read what the autoscaler may yet start."""


def address_of_auto() -> str | None:
    """Where `ray.init("auto")` would look for Ray: `host:port`, dead or alive, which Ray itself does not tell before.

    It is what the last `ray start` here noted, and the note outlives a head that was killed.

    Raises:
        ConnectionError: no Ray was ever started on this machine.
    """
    address: str | None = canonicalize_bootstrap_address("auto")
    return address


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


class SoleWriter(_CachedStorage):
    """The studies of a file that no other process writes to: of what was read, only what was written since is read
    again.

    Optuna's own reads every unfinished trial again, several times for each suggestion, as another process could have
    gone on with it: seconds with a thousand of them.
    """

    def __init__(self, backend: optuna.storages.RDBStorage) -> None:
        super().__init__(backend)
        self._written: set[int] = set()
        """Ids of trials that may have changed since they were read."""
        self._newest: dict[int, int] = {}
        """The highest id read, by study."""

    def set_trial_param(self, trial_id: int, *arguments: Any, **named: Any) -> None:
        """As the base class, like all below."""
        self._written.add(trial_id)
        super().set_trial_param(trial_id, *arguments, **named)

    def set_trial_state_values(self, trial_id: int, *arguments: Any, **named: Any) -> bool:
        """Its state."""
        self._written.add(trial_id)
        return super().set_trial_state_values(trial_id, *arguments, **named)

    def set_trial_intermediate_value(self, trial_id: int, *arguments: Any, **named: Any) -> None:
        """A value that is reported."""
        self._written.add(trial_id)
        super().set_trial_intermediate_value(trial_id, *arguments, **named)

    def set_trial_user_attr(self, trial_id: int, *arguments: Any, **named: Any) -> None:
        """One of ours."""
        self._written.add(trial_id)
        super().set_trial_user_attr(trial_id, *arguments, **named)

    def set_trial_system_attr(self, trial_id: int, *arguments: Any, **named: Any) -> None:
        """One of a sampler, or a constraint."""
        self._written.add(trial_id)
        super().set_trial_system_attr(trial_id, *arguments, **named)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._lock:
            self._studies.setdefault(study_id, _StudyInfo())
            newest = self._newest.get(study_id, -1)
            trials = self._backend._get_trials(
                study_id, states=None, included_trial_ids=self._written, trial_id_greater_than=newest
            )
            self._add_trials_to_cache(study_id, trials)
            ids = {trial._trial_id for trial in trials}
            self._written -= ids
            self._newest[study_id] = max({newest} | ids)
