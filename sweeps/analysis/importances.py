"""Which settings mattered in the search, by two evaluators that are known to disagree. Descriptive: adaptive sample."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Final

import optuna
import pyarrow as pa
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)

from embedding_core.config import TrainConfig

MIN_COMPLETED: Final = 10
FANOVA_SEED: Final = 0

EVALUATORS: Final = ("PED-ANOVA", "fANOVA")

NOT_SETTINGS: Final = ("seed", "data_root", "device", "eval_test", "stop_if_collapsed")

Row = dict[str, Any]


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
    """Importances for the final validation AUC over completed search trials, one entry per evaluator.

    Trials that ASHA stopped have no final value and are left out, so this describes the trials that survived.
    A setting that only some trials have (`koleo_weight`) is assessed among those that have it. An evaluator that
    cannot answer says why in `reason`.
    """
    rows = [
        r
        for r in trials.to_pylist()
        if r["stage"] == "search" and r["end_reason"] == "completed" and r["final_val_auc"] is not None
    ]
    rows.sort(key=lambda r: r["trial_id"])
    names = varying_settings(rows)
    always = [name for name in names if all(r[name] is not None for r in rows)]
    found = []
    for evaluator in EVALUATORS:
        shares, reason = _shares(rows, always, evaluator)
        conditional = {}
        for name in names:
            some = [r for r in rows if r[name] is not None]
            if name in always or reason:
                continue
            inner, why = _shares(some, [n for n in varying_settings(some) if _in_all(n, some)], evaluator)
            if name in inner:
                conditional[name] = (inner[name], len(some))
            else:
                reason = f"{name}: {why or 'does not vary'}"
        found.append(Importances(evaluator, len(rows), shares, conditional, reason))
    return found


def varying_settings(rows: list[Row]) -> list[str]:
    """TrainConfig fields with more than one value over the rows, nulls aside; a field null in some rows counts."""
    names = [field.name for field in fields(TrainConfig) if field.name not in NOT_SETTINGS]
    return [name for name in names if len({row[name] for row in rows} - {None}) > 1]


def _in_all(name: str, rows: list[Row]) -> bool:
    return all(row[name] is not None for row in rows)


def _shares(rows: list[Row], names: list[str], evaluator: str) -> tuple[dict[str, float], str]:
    """Importances of `names`, largest first, or none and the reason."""
    if len(rows) < MIN_COMPLETED:
        return {}, f"{len(rows)} completed trials; at least {MIN_COMPLETED} are needed"
    if not names:
        return {}, "no setting varies"
    if len({row["final_val_auc"] for row in rows}) == 1:
        return {}, "all trials have the same outcome"
    method: BaseImportanceEvaluator = (
        FanovaImportanceEvaluator(seed=FANOVA_SEED) if evaluator == "fANOVA" else PedAnovaImportanceEvaluator()
    )
    with _quiet():
        study = _study(rows, names)
        try:
            shares = get_param_importances(study, evaluator=method, params=names)
        except (ValueError, RuntimeError) as error:
            return {}, f"the evaluator refused: {error}"
    if not all(math.isfinite(share) for share in shares.values()):
        return {}, "the evaluator gave a value that is not finite"
    return dict(shares), ""


def _study(rows: list[Row], names: list[str]) -> optuna.Study:
    """In-memory study of the rows; ranges are those observed."""
    distributions = {name: _distribution([row[name] for row in rows]) for name in names}
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: row[name] for name in names}, distributions=distributions, value=row["final_val_auc"]
            )
            for row in rows
        ]
    )
    return study


def _distribution(values: list[Any]) -> BaseDistribution:
    """Floats get their observed range, on a log scale where it spans a factor of ten; all else its observed levels."""
    if not all(type(value) is float for value in values):
        return CategoricalDistribution(sorted(set(values)))
    low, high = min(values), max(values)
    return FloatDistribution(low, high, log=low > 0 and high >= 10 * low)


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
