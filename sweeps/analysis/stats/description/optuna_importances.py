"""Importances of settings by Optuna's evaluators: of a study, or of rows as if they came from one."""

import math
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
from optuna.trial import TrialState

from embedding_core.storage.result_tables import Row

MIN_COMPLETED: Final = 10
FANOVA_SEED: Final = 0

MAX_LEVELS: Final = 8
"""A whole number with more values than these is a range."""


def study_shares(
    study: optuna.Study, evaluator: str, settings: list[str] | None = None
) -> tuple[dict[str, float], str]:
    """Importances of the settings of a study's completed trials, largest first and with sum 1, or none and the reason.

    Args:
        study: any.
        evaluator: `fANOVA` or `PED-ANOVA`.
        settings: names; None: all that the evaluator can tell of.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < MIN_COMPLETED:
        return {}, f"{len(done)} completed trials; at least {MIN_COMPLETED} are needed"
    if len({tuple(trial.values) for trial in done}) == 1:
        return {}, "all trials have the same outcome"
    method: BaseImportanceEvaluator = (
        FanovaImportanceEvaluator(seed=FANOVA_SEED) if evaluator == "fANOVA" else PedAnovaImportanceEvaluator()
    )
    try:
        with quiet_optuna():
            raw = get_param_importances(study, evaluator=method, params=settings, normalize=False)
    # Studies of other people hold what no evaluator was tried on; one that fails costs itself alone.
    except Exception as error:  # noqa: BLE001
        return {}, f"the evaluator refused: {error or type(error).__name__}"
    whole = sum(raw.values())
    if not math.isfinite(whole):
        return {}, "the evaluator gave a value that is not finite"
    if whole == 0:
        return {}, "no setting varies, or none tells better trials from worse"
    return {name: share / whole for name, share in raw.items()}, ""


def study_of(rows: Sequence[Row], names: Sequence[str], *, outcome: str, maximize: bool) -> optuna.Study:
    """Rows as the study that they might have come from, in memory; ranges are those observed.

    Args:
        rows: trials that have all of the settings and an outcome.
        names: of the settings.
        outcome: name of a column.
        maximize: whether more of it is better.
    """
    distributions = {name: _distribution([row[name] for row in rows]) for name in names}
    with quiet_optuna():
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
def quiet_optuna() -> Iterator[None]:
    """Optuna announces each study it creates and warns of choices and evaluators; in a report that is no news."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
