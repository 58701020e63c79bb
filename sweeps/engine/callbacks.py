"""All that happens while Tune runs a stage, in its order: what is told is stored first, then the others hear of it."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.engine.interruption import Interruption
from sweeps.engine.machines.error_watch import ErrorWatch
from sweeps.engine.machines.resources import Slots
from sweeps.engine.machines.room_watch import RoomWatch
from sweeps.engine.private_api import end_processes
from sweeps.engine.records import endings
from sweeps.engine.records.endings import Ending
from sweeps.engine.records.recorder import Recorder
from sweeps.engine.records.retention import CheckpointKeeper
from sweeps.engine.search.searchers import RunSearcher
from sweeps.engine.watching.audience import Audience


class StageCallback(Callback):
    """The one callback of a stage. ASHA's decisions alone go another way: Tune asks the scheduler before it calls."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        searcher: RunSearcher,
        checkpoint_keeper: CheckpointKeeper,
        audience: Audience,
        interruption: Interruption,
        errors: ErrorWatch,
        room: RoomWatch,
        slots: Slots,
    ) -> None:
        self._recorder, self._searcher, self._checkpoint_keeper = recorder, searcher, checkpoint_keeper
        self._audience, self._interruption = audience, interruption
        self._errors, self._room, self._slots = errors, room, slots
        self.ended = 0
        """Trials whose final row is stored; an interrupted one has none."""

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Before the first trial."""
        self._audience.hear("start")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Each time a process takes a trial up."""
        self._recorder.begin(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Each row of the loop, or what a trial that gave up sent in place of one."""
        self._recorder.result(trial, result)
        self._audience.hear("on_result", self._recorder.live(trial).label, result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has ended by itself, or the scheduler has stopped it."""
        self._end(trial, endings.of_last_row(self._recorder.live(trial).last, gpu_share=self._slots.gpus))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial's process has died, and its retries are used up."""
        deadline_s = self._recorder.live(trial).label.epoch_deadline_s
        ending = endings.of_death(trial, silent_s=self._recorder.silent_s(trial), deadline_s=deadline_s)
        self._end(trial, ending)

    def _end(self, trial: Trial, ending: Ending) -> None:
        """Store the final row; only then do the others hear of it, for a resume knows what is stored and no more."""
        row = self._recorder.finish(trial, ending)
        if row is None:
            return
        self.ended += 1
        self._errors.on_stored(row)
        self._searcher.on_stored(row)
        self._checkpoint_keeper.on_stored(row)
        self._audience.hear("on_stored", row)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Again and again, whether anything has happened or not.

        Raises:
            Interrupted: the sweep is to end.
            Faults: the results could not be written for long, or no trial can run; it ends the experiment.
            SickNode: so does this; the stage goes on without that node.
        """
        if self._interruption.asked:
            end_processes(trials)
        self._interruption.check_loop()
        self._recorder.flush_due()
        self._errors.check(self._slots)
        self._room.check(trials)
        self._audience.hear("refresh", trials)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """After the last trial, or when the sweep is interrupted."""
        self._recorder.flush()
        self._audience.hear("stop", trials)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what it is given, and nothing is ever restored from there."""
        return {}
