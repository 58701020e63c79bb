"""Where Tune gets its runs from: an Optuna study that is told how each one ended, or a plan handed out in its order."""

import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.search import Searcher

from embedding_core.config.train_config import TrainConfig
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import patiently
from sweeps.design import Design
from sweeps.design.design import Outcome, Settings
from sweeps.engine.interruption import Interrupted
from sweeps.engine.private_api import gone_on_with
from sweeps.engine.search.optuna_study import RETRY_OF, drawn, latest, name_of, report, retry, tell
from trainables.run_label import RunLabel, to_flat, trial_name

_Result = TypeVar("_Result")


class RunSearcher(Searcher):
    """A searcher that needs no snapshots of Tune's, and is told what was stored of each run that has ended."""

    def on_stored(self, row: Row) -> None:
        """Take note of a final row of `trials`, once it is on the disk; a plan learns nothing from it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a resumed sweep reads its own tables and its study."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the same reason: Tune pickles what it is given."""
        return {}


class StudySearch(RunSearcher):
    """Suggests whole runs from an Optuna study, and tells it how each one ended.

    Between ASHA's rungs a study is told nothing: TPE goes by a trial's last value alone, and each report is a commit. A
    completed run is COMPLETE with its last value; one that ASHA stopped or that collapsed is PRUNED with its
    last value; diverged and out-of-memory ones are PRUNED and infeasible; an error is FAIL. Trials that are not
    finished are handed out again first, with their stored parameters and their own id: those an interrupted
    sweep left RUNNING, those whose row is not in the table although the study knows their end, and those that are to
    be retried. What has ended stays so in Optuna, which reopens no trial: a retry is a further one, marked `RETRY_OF`.
    """

    def __init__(
        self,
        design: Design,
        study: optuna.Study,
        *,
        outcome: Outcome,
        base: Settings,
        rungs: Collection[int],
        label: Mapping[str, Any],
        attempts: dict[str, int],
        finished: Collection[str],
        retried: Collection[str] = (),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set up for the trials that are left.

        Args:
            design: what is varied.
            study: from `open_study`.
            outcome: whose validation measure is told.
            base: fixed settings.
            rungs: ASHA's, in images: where the study is told of a value before a trial ends.
            label: RunLabel fields all trials share.
            attempts: highest so far by trial id.
            finished: trial ids that are left alone.
            retried: trial ids that have ended in a way that is to be tried again.
            pause: takes the seconds between two attempts to reach the study's file; an Interrupted ends the wait.
        """
        super().__init__(metric=outcome.validation, mode="max")
        self._study, self._outcome = study, outcome
        self._design, self._base, self._label, self._attempts = design, dict(base), dict(label), attempts
        self._rungs, self._finished = frozenset(rungs), frozenset(finished)
        self._handed_out: dict[str, Trial] = {}
        """By Ray's trial id."""
        self._last: dict[str, tuple[int, float]] = {}
        """Images and value of the last row with a finite one, likewise."""
        self._waiting = self._left()
        self._unsure = False
        self._pause = pause
        ended = [t for t in self._waiting if t.state.is_finished()]
        again = {TrialState.FAIL: ended, TrialState.PRUNED: [t for t in ended if name_of(t) in retried]}
        self._again = {t.number for state, trials in again.items() for t in trials if t.state == state}
        self._told = {t.number for t in ended} - self._again

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Ray's config of the next run."""
        return self._waited_for(lambda: self._suggested(trial_id))

    def _left(self) -> list[FrozenTrial]:
        """Trials that have begun, are not finished, and were not handed out."""
        in_hand = {trial.number for trial in self._handed_out.values()}
        begun = latest(self._study).items()
        return [trial for name, trial in begun if name not in self._finished and trial.number not in in_hand]

    def _suggested(self, trial_id: str) -> dict[str, Any]:
        if self._unsure:  # the study's disk has failed in here: a trial may have begun that nobody holds
            self._waiting = self._left()
        self._unsure = True
        if trial_id not in self._handed_out:
            self._handed_out[trial_id] = self._next()
        trial = self._handed_out[trial_id]
        config = TrainConfig.from_flat({**self._base, **drawn(self._design.factors, trial, {})})
        ours = str(trial.user_attrs.get(RETRY_OF, trial_name(trial.number)))
        label = RunLabel(
            **self._label,
            cell_id=self._design.arm_of(config.to_flat()).cell_id,
            trial_id=ours,
            origin="sampled",
            attempt=self._attempts.get(ours, 0) + 1,
        )
        self._unsure = False
        return to_flat(config, label)

    def _next(self) -> Trial:
        """The first of those that wait, else a new trial."""
        if not self._waiting:
            return self._study.ask()
        waiting = self._waiting[0]
        trial = gone_on_with(self._study, retry(self._study, waiting) if waiting.number in self._again else waiting)
        del self._waiting[0]
        return trial

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the value, and report it at a rung."""
        images_seen, value = result["images_seen"], result[self._outcome.validation]
        if math.isfinite(value):
            self._last[trial_id] = images_seen, value
        if images_seen in self._rungs:
            self._report(trial_id, images_seen, value)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing yet: what a run ended with counts once it is stored. An interrupted one stays RUNNING."""

    def on_stored(self, row: Row) -> None:
        """Tell the study how the run ended, as its row says; after a kill before this `reconcile` does."""
        trial_id, value = row["ray_trial_id"], row[self._outcome.final]
        trial, last = self._handed_out[trial_id], self._last.pop(trial_id, None)
        if last is not None and (value is None or not math.isfinite(value)):
            self._report(trial_id, *last)
        if trial.number not in self._told:
            self._waited_for(lambda: tell(self._study, trial, row["end_reason"], row["images_seen"], value))

    def _report(self, trial_id: str, images_seen: int, value: float) -> None:
        trial = self._handed_out[trial_id]
        if trial.number not in self._told:
            self._waited_for(lambda: report(trial, images_seen, value))

    def _waited_for(self, act: Callable[[], _Result]) -> _Result | None:
        """What needs the study's file, which an outage of its disk must not cost the sweep; None: it is to end."""
        try:
            return patiently(act, what="The study cannot be written", kinds=(StorageInternalError,), sleep=self._pause)
        except Interrupted:
            return None


class PlannedSearch(RunSearcher):
    """Hands out a list of runs in its order."""

    def __init__(self, runs: list[dict[str, Any]]) -> None:
        """Args: runs: Ray's config of each."""
        super().__init__()
        self._runs = list(runs)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Ray's config of the next run; as many are asked for as there are."""
        return self._runs.pop(0) if self._runs else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A plan learns nothing."""
