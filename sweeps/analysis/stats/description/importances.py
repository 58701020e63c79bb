"""Which settings mattered in the search, by two evaluators that are known to disagree. Descriptive: adaptive sample."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import optuna
import pyarrow as pa
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import TrialState

from embedding_core.config.train_config import TrainConfig, field_types
from embedding_core.storage.result_tables import Row
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.description.descriptive import selected_by

MIN_COMPLETED: Final = 10
FANOVA_SEED: Final = 0

EVALUATORS: Final = ("PED-ANOVA", "fANOVA")

NOT_SETTINGS: Final = ("seed", "split_seed", "data_root", "device", "eval_test", "stop_if_collapsed", "plugin_sha256")

SETTINGS: Final = tuple(name for name in field_types(TrainConfig) if name not in NOT_SETTINGS)

MAX_LEVELS: Final = 8
"""A whole number with more values than these is a range."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the settings matter for."""

    outcome: str
    maximize: bool


@dataclass(frozen=True, slots=True)
class Importances:
    """Shares of importance by one evaluator, each scaled to sum to 1 over the settings every trial has."""

    evaluator: str
    n: int
    """Completed trials."""

    shares: dict[str, float]
    """Empty if `reason` is given."""

    conditional: dict[str, tuple[float, int]]
    """Setting that only some trials have -> (share among those trials, their number). Not comparable with `shares`."""

    reason: str
    """Why there are no shares, or what is missing; else empty."""


def search_importances(trials: pa.Table) -> list[Importances]:
    """Importances for the final value of what the sweep is tuned by, over completed search trials, one per evaluator.

    Trials that ASHA stopped have no final value and are left out, so this describes the trials that survived.
    A setting that only some trials have (`koleo_weight`) is assessed among those that have it. An evaluator that
    cannot answer says why in `reason`.
    """
    column = selected_by(trials)
    rows = [
        r
        for r in trials.to_pylist()
        if r["stage"] == "search" and r["end_reason"] == "completed" and r[column] is not None
    ]
    rows.sort(key=lambda r: r["trial_id"])
    return importances(rows, SETTINGS, outcome=column)


def importances(
    rows: Sequence[Row], settings: Sequence[str], *, outcome: str, maximize: bool = True
) -> list[Importances]:
    """Importances of `settings` for `outcome`, one entry per evaluator.

    Args:
        rows: completed trials: every setting, None where a trial does not have it, and a finite outcome.
        settings: names of columns.
        outcome: name of a column.
        maximize: whether more is better.
    """
    names = varying_settings(rows, settings)
    always = [name for name in names if _in_all(name, rows)]
    target = Target(outcome, maximize)
    found = []
    for evaluator in EVALUATORS:
        shares, reason = _shares(rows, always, target, evaluator)
        conditional = {}
        for name in names:
            some = [r for r in rows if r[name] is not None]
            if name in always or reason:
                continue
            theirs = [n for n in varying_settings(some, settings) if _in_all(n, some)]
            inner, why = _shares(some, theirs, target, evaluator)
            if name in inner:
                conditional[name] = (inner[name], len(some))
            else:
                reason = f"{name}: {why or 'does not vary'}"
        found.append(Importances(evaluator, len(rows), shares, conditional, reason))
    return found


def remarks(given: list[Importances]) -> list[str]:
    """What an evaluator could not answer, and the settings that only some trials have."""
    lines = [f"{item.evaluator}: {item.reason}." for item in given if item.reason]
    for name in sorted({name for item in given for name in item.conditional}):
        own = {item.evaluator: item.conditional[name] for item in given if name in item.conditional}
        shares = ", ".join(f"{evaluator} {number(share, decimals=2)}" for evaluator, (share, _) in own.items())
        n = max(n for _, n in own.values())
        lines.append(f"{name}, which only {n} of {given[0].n} completed trials have, among those: {shares}.")
    return lines


def varying_settings(rows: Sequence[Row], settings: Sequence[str] = SETTINGS) -> list[str]:
    """Settings with more than one value over the rows, nulls aside; one null in some rows counts."""
    return [name for name in settings if len({row[name] for row in rows} - {None}) > 1]


def _in_all(name: str, rows: Sequence[Row]) -> bool:
    return all(row[name] is not None for row in rows)


def study_shares(
    study: optuna.Study, evaluator: str, settings: list[str] | None = None
) -> tuple[dict[str, float], str]:
    """Importances of the settings of a study's completed trials by Optuna, largest first, or none and the reason.

    Args:
        study: any.
        evaluator: of `EVALUATORS`.
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


def _shares(rows: Sequence[Row], names: list[str], target: Target, evaluator: str) -> tuple[dict[str, float], str]:
    """Importances of `names`, largest first, or none and the reason."""
    with quiet_optuna():
        study = _study(rows, names, target)
    return study_shares(study, evaluator, names)


def _study(rows: Sequence[Row], names: list[str], target: Target) -> optuna.Study:
    """In-memory study of the rows; ranges are those observed."""
    distributions = {name: _distribution([row[name] for row in rows]) for name in names}
    study = optuna.create_study(direction="maximize" if target.maximize else "minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: row[name] for name in names}, distributions=distributions, value=row[target.outcome]
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
