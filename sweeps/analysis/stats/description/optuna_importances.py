"""Importances of settings by Optuna's evaluators, which take rows as the study that they might have come from."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)

from embedding_core.storage.result_tables import Row

FANOVA_SEED: Final = 0

MAX_LEVELS: Final = 8
"""A whole number with more values than these is a range."""


def shares_of(
    rows: Sequence[Row], names: Sequence[str], *, outcome: str, maximize: bool, evaluator: str
) -> dict[str, float]:
    """Importances, largest first.

    Args:
        rows: trials that have all of the settings and an outcome.
        names: of the settings.
        outcome: name of a column.
        maximize: whether more of it is better.
        evaluator: `fANOVA` or `PED-ANOVA`.

    Raises:
        ValueError, RuntimeError: the evaluator cannot answer.
    """
    method: BaseImportanceEvaluator = (
        FanovaImportanceEvaluator(seed=FANOVA_SEED) if evaluator == "fANOVA" else PedAnovaImportanceEvaluator()
    )
    with _quiet():
        study = _study(rows, names, outcome=outcome, maximize=maximize)
        return dict(get_param_importances(study, evaluator=method, params=list(names)))


def _study(rows: Sequence[Row], names: Sequence[str], *, outcome: str, maximize: bool) -> optuna.Study:
    """In-memory study of the rows; ranges are those observed."""
    distributions = {name: _distribution([row[name] for row in rows]) for name in names}
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: row[name] for name in names}, distributions=distributions, value=row[outcome]
            )
            for row in rows
        ]
    )
    return study


def _distribution(values: list[Any]) -> BaseDistribution:
    """Numbers get their observed range, on a log scale where it spans a factor of ten; few or other values, levels."""
    kinds, levels = {type(value) for value in values}, set(values)
    if kinds == {float}:
        low, high = min(values), max(values)
        return FloatDistribution(low, high, log=low > 0 and high >= 10 * low)
    if kinds == {int} and len(levels) > MAX_LEVELS:
        low, high = min(values), max(values)
        return IntDistribution(low, high, log=low > 0 and high >= 10 * low)
    return CategoricalDistribution(sorted(levels, key=lambda value: (type(value).__name__, value)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces each study it creates; here that is no news."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
