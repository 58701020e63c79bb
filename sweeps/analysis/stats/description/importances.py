"""Which settings mattered in the search, by two evaluators that are known to disagree. Descriptive: adaptive sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from embedding_core.config.train_config import TrainConfig, field_types
from embedding_core.storage.result_tables import Row
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.description.descriptive import selected_by

EVALUATORS: Final = ("PED-ANOVA", "fANOVA")

NOT_SETTINGS: Final = ("seed", "split_seed", "data_root", "device", "eval_test", "stop_if_collapsed", "plugin_sha256")

SETTINGS: Final = tuple(name for name in field_types(TrainConfig) if name not in NOT_SETTINGS)


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


def _shares(rows: Sequence[Row], names: list[str], target: Target, evaluator: str) -> tuple[dict[str, float], str]:
    """Importances of `names`, largest first, or none and the reason."""
    if len({row[target.outcome] for row in rows}) == 1:
        return {}, "all trials have the same outcome"
    # It takes scikit-learn, the dearest import of a report.
    from sweeps.analysis.stats.description import optuna_importances

    study = optuna_importances.study_of(rows, names, outcome=target.outcome, maximize=target.maximize)
    return optuna_importances.study_shares(study, evaluator, names)
