"""The Optuna study of one cell in one replicate: a function of the stored rows, so that nothing of it can be lost."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from embedding_core.seeding import stream
from embedding_core.storage.result_tables import Row
from sweeps.design.design import Cell, Settings
from sweeps.design.plan import Plan
from sweeps.engine.search.optuna_study import distribution, drawn, storage_at
from sweeps.results.endings import INFEASIBLE, INFRASTRUCTURE

TRIAL_ID: Final = "trial_id"
"""User attribute with our id, in the studies that optuna-dashboard shows."""


class CellStudy:
    """Proposes the settings of a cell's next run from the rows of those before it.

    The same rows give the same proposal, whatever was interrupted in between, and whatever ran beside them.
    """

    def __init__(self, plan: Plan, cell: Cell, *, seed: int) -> None:
        """Args: plan: whose. cell: what is tuned. seed: of the replicate."""
        self._cell, self._seed, self._measure = cell, seed, plan.outcome.final
        self._settled = {**plan.base, **cell.settings}
        self._nuisances, self._common = plan.nuisances, plan.common_points
        self._searcher = plan.searcher

    def propose(self, rows: Sequence[Row], point: int) -> Settings:
        """TPE's proposal, or a draw where the plan has no TPE.

        Args:
            rows: final rows of `trials` of the study, in the order of their points; those that infrastructure ended
                tell nothing.
            point: index of the run, so that each draws from a stream of its own.
        """
        draw = stream(self._seed, "tuner", self._cell.cell_id, point) % 2**32
        sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=draw)
        if self._searcher == "tpe":
            sampler = optuna.samplers.TPESampler(seed=draw, n_startup_trials=self._common, multivariate=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([self.told(row) for row in rows if row["end_reason"] not in INFRASTRUCTURE])
        return drawn(self._nuisances, study.ask(), self._settled)

    def told(self, row: Row) -> FrozenTrial:
        """A run that has ended, as Optuna knows it: stopped ones with their last value, diverged ones with none."""
        given = [factor for factor in self._nuisances if factor.is_drawn({**self._settled, **row})]
        value = row[self._measure]
        known = value is not None and math.isfinite(value) and row["end_reason"] not in INFEASIBLE
        completed = row["end_reason"] == "completed" and known
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE if completed else TrialState.PRUNED,
            value=value if completed else None,
            params={factor.name: row[factor.name] for factor in given},
            distributions={factor.name: distribution(factor) for factor in given},
            intermediate_values={int(row["images_seen"]): value} if known else {},
            user_attrs={TRIAL_ID: row["trial_id"]},
        )


class ShownStudies:
    """Copies of all cells' studies in a file that optuna-dashboard shows; nothing is read from them."""

    def __init__(self, file: Path) -> None:
        """Args: file: of the sweep's studies."""
        self._storage = partial(storage_at, file)
        self._open: dict[str, tuple[optuna.Study, set[str]]] = {}

    def add(self, name: str, trial: FrozenTrial) -> None:
        """Show a run that has ended, once."""
        if name not in self._open:
            study = optuna.create_study(
                storage=self._storage(), study_name=name, direction="maximize", load_if_exists=True
            )
            there = {str(known.user_attrs.get(TRIAL_ID)) for known in study.get_trials(deepcopy=False)}
            self._open[name] = study, there
        study, there = self._open[name]
        if trial.user_attrs[TRIAL_ID] not in there:
            study.add_trial(trial)
            there.add(trial.user_attrs[TRIAL_ID])
