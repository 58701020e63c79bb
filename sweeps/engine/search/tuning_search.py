"""Where Tune gets the runs of a tuning from: many studies side by side, each of which runs one trial at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

from embedding_core.storage.result_tables import Row
from sweeps.design.design import Settings
from sweeps.design.runs import Run
from sweeps.engine.search.cell_study import CellStudy
from sweeps.engine.search.searchers import RunSearcher
from sweeps.engine.watching.audience import Audience
from trainables.run_label import RunLabel, to_flat

Study = tuple[int, str]
"""Replicate and cell."""


class TuningSearch(RunSearcher):
    """Hands out the next run of the study that has most left of those with none under way, so that all end together.

    Within a study one run follows the other, so that what TPE and ASHA know at each is settled by the plan and not by
    which run happened to end first: the same sweep gives the same settings on any number of GPUs, and after its driver
    was killed. What infrastructure has ended for good (retries used up, an error) the study goes on without until it is
    run once more. There are as many studies as cells times replicates to keep a cluster busy.
    """

    def __init__(
        self,
        runs: Sequence[tuple[Run, RunLabel]],
        studies: Mapping[Study, CellStudy],
        *,
        rows: Sequence[Row],
        settings_of: Mapping[str, Settings],
        shown: Audience,
        metric: str,
    ) -> None:
        """Set up for the runs that are left.

        Args:
            runs: left, in the order of the plan, with their labels.
            studies: of all cells and replicates.
            rows: final rows of `trials` of the runs that have ended, in the order of the plan.
            settings_of: settings by trial id of those that are run once more.
            shown: told of every run that has ended, as `ShownStudies` is.
            metric: column of the results.
        """
        super().__init__(metric=metric, mode="max")
        self._studies, self._settings_of, self._shown = studies, settings_of, shown
        self._rows: dict[Study, list[Row]] = {study: [] for study in studies}
        # What is run once more comes last in its study: those after it were proposed without it.
        ordered = sorted(runs, key=lambda pair: pair[1].trial_id in settings_of)
        self._left: dict[Study, list[tuple[Run, RunLabel]]] = {study: [] for study in studies}
        for run, label in ordered:
            self._left[run.study].append((run, label))
        self._order = {label.trial_id: place for place, (_, label) in enumerate(runs)}
        self._under_way: dict[str, Study] = {}
        """By our trial id."""
        self._handed_out: dict[str, dict[str, Any]] = {}
        """Config by Ray's trial id: asked again, it is the same."""
        for row in rows:
            self._note(row)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Ray's config of the next run; None while all studies have one under way."""
        if trial_id in self._handed_out:
            return self._handed_out[trial_id]
        busy = set(self._under_way.values())
        free = [study for study, left in self._left.items() if left and study not in busy]
        if not free:
            return None
        study = min(free, key=lambda one: (-len(self._left[one]), self._order[self._left[one][0][1].trial_id]))
        run, label = self._left[study].pop(0)
        self._under_way[label.trial_id] = study
        settings = self._settings_of.get(label.trial_id, run.nuisance)
        if settings is None:
            assert run.point is not None, "a run of a tuning is one of its points"
            settings = self._studies[study].propose(self._rows[study], run.point)
        self._handed_out[trial_id] = to_flat(run.config(settings), label)
        return self._handed_out[trial_id]

    def on_stored(self, row: Row) -> None:
        """The study of the run goes on, knowing what is stored."""
        del self._under_way[row["trial_id"]]
        self._note(row)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing yet: what a run ended with counts once it is stored."""

    def _note(self, row: Row) -> None:
        study = row["replicate"], row["cell_id"]
        self._rows[study].append(row)
        trial = self._studies[study].told(row)
        self._shown.hear("add", f"tune, replicate {study[0]}, {study[1]}", trial)
