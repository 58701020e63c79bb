"""What each figure shows, computed from the tables: the tested half. `figures` draws these values and nothing else."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.figures.style import GREY, Looks, arm_style
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.contrasts import COMPOSITE_AUC, CellBlocks, EpochEffect
from sweeps.analysis.stats.descriptive import UNKNOWN_CELL, rows_of
from sweeps.analysis.stats.effects import SESOI, Effect
from sweeps.analysis.stats.importances import Importances
from sweeps.analysis.stats.stored_plan import Contrast

ADAPTIVE: Final = "descriptive: adaptive sample"
"""Stamp on every figure of search data."""


@dataclass(frozen=True, slots=True)
class PairedData:
    """Both sides of a contrast and its value per block, with the interval and the SESOI band.

    A side is the weighted mean of its cells; the value is their difference for a difference of means, not for a slope.
    """

    labels: tuple[str, str]
    outcome: str
    blocks: tuple[int, ...]
    control: tuple[float, ...]
    treatment: tuple[float, ...]
    differences: tuple[float, ...]
    effect: Effect
    caption: str


@dataclass(frozen=True, slots=True)
class EpochData:
    """The contrast at each epoch with its interval."""

    outcome: str
    epochs: tuple[int, ...]
    estimates: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    sesoi: float
    caption: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One trial's validation AUC by epoch."""

    arm: str
    end_reason: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CurveData:
    """All trials of a stage; per-arm means only outside `search`, where stopping would bias them."""

    curves: tuple[Curve, ...]
    means: tuple[Curve, ...]
    looks: Looks
    stamp: str
    caption: str


@dataclass(frozen=True, slots=True)
class SearchData:
    """Last validation AUC of each search trial, in the order they were drawn."""

    arms: tuple[str, ...]
    numbers: tuple[int, ...]
    values: tuple[float, ...]
    completed: tuple[bool, ...]
    looks: Looks
    stamp: str
    caption: str


@dataclass(frozen=True, slots=True)
class BarData:
    """Share of importance per setting and evaluator; settings by mean share, largest first."""

    settings: tuple[str, ...]
    shares: dict[str, tuple[float | None, ...]]
    """Evaluator -> one share per setting; None where that evaluator has none."""

    stamp: str
    caption: str


def looks_of(trials: pa.Table) -> Looks:
    """Colour and marker of every cell of the sweep, and of trials whose cell is not known."""
    return arm_style(pc.unique(trials["cell_id"]).to_pylist()) | {UNKNOWN_CELL: (GREY, "o")}


def paired_data(blocks: CellBlocks, effect: Effect, contrast: Contrast, *, dataset: str, note: str) -> PairedData:
    """Figure of one contrast; `note` says how the arms were chosen."""
    lost = f"; {len(blocks.failed)} failed, counted as {number(COMPOSITE_AUC, decimals=1)}" if blocks.failed else ""
    return PairedData(
        labels=(contrast.control, contrast.treatment),
        outcome=contrast.outcome,
        blocks=blocks.blocks,
        control=tuple(blocks.control.tolist()),
        treatment=tuple(blocks.treatment.tolist()),
        differences=tuple(blocks.values.tolist()),
        effect=effect,
        caption=f"n = {effect.n} blocks; {dataset}; stage confirm; {note}{lost}",
    )


def epoch_data(effects: list[EpochEffect], *, outcome: str, dataset: str, sesoi: float = SESOI) -> EpochData:
    """Figure of the contrast at every mark of the curves; `sesoi` is the contrast's.

    Raises:
        ValueError: no marks.
    """
    if not effects:
        raise ValueError("No epoch was reached by all runs, so there is no mark to show.")
    return EpochData(
        outcome=outcome,
        epochs=tuple(e.epoch for e in effects),
        estimates=tuple(e.effect.estimate for e in effects),
        lows=tuple(e.effect.ci_low for e in effects),
        highs=tuple(e.effect.ci_high for e in effects),
        sesoi=sesoi,
        caption=f"n = {effects[0].effect.n} blocks; {dataset}; stage confirm; exploratory",
    )


def curve_data(
    trials: pa.Table, curves: pa.Table, *, stage: str, dataset: str, without: Collection[str] = ()
) -> CurveData:
    """Learning curves of one stage by arm, unfinished trials included; epochs without a finite value are gaps.

    Args:
        trials: the table `trials` with `stage`.
        curves: the table `curves` with `stage`.
        stage: which one.
        dataset: for the caption.
        without: cells to leave out.
    """
    known = {row["trial_id"]: row for row in rows_of(trials, stage, ("trial_id", "cell_id", "end_reason"))}
    points: dict[str, list[tuple[int, float]]] = {}
    for row in rows_of(curves, stage, ("trial_id", "epoch", "val_auc")):
        if row["val_auc"] is not None:
            points.setdefault(row["trial_id"], []).append((row["epoch"], row["val_auc"]))
    found = []
    for trial_id, pairs in points.items():
        row = known.get(trial_id, {"cell_id": UNKNOWN_CELL, "end_reason": "unfinished"})
        if row["cell_id"] not in without:
            epochs, values = zip(*sorted(pairs), strict=True)
            found.append(Curve(row["cell_id"], row["end_reason"], epochs, values))
    adaptive = stage == "search"
    return CurveData(
        curves=tuple(found),
        means=() if adaptive else tuple(_mean_curves(found)),
        looks=looks_of(trials),
        stamp=ADAPTIVE if adaptive else "",
        caption=f"n = {len(found)} trials; {dataset}; stage {stage}",
    )


def search_data(trials: pa.Table, *, dataset: str) -> SearchData:
    """Last validation AUC against trial order; trials without a finite value are counted in the caption."""
    rows = rows_of(trials, "search", ("cell_id", "end_reason", "final_val_auc"))
    shown = [(i, row) for i, row in enumerate(rows) if row["final_val_auc"] is not None]
    lost = len(rows) - len(shown)
    without = f"; {lost} without a value" if lost else ""
    return SearchData(
        arms=tuple(row["cell_id"] for _, row in shown),
        numbers=tuple(i for i, _ in shown),
        values=tuple(row["final_val_auc"] for _, row in shown),
        completed=tuple(row["end_reason"] == "completed" for _, row in shown),
        looks=looks_of(trials),
        stamp=ADAPTIVE,
        caption=f"n = {len(rows)} trials{without}; {dataset}; stage search",
    )


def bar_data(importances: list[Importances], *, dataset: str) -> BarData:
    """Bars of the evaluators that gave shares.

    Raises:
        ValueError: no evaluator gave any.
    """
    given = [item for item in importances if item.shares]
    if not given:
        raise ValueError("No evaluator gave importances: " + "; ".join(i.reason for i in importances) + ".")
    names = {name for item in given for name in item.shares}
    mean = {name: float(np.mean([item.shares.get(name, 0.0) for item in given])) for name in names}
    settings = tuple(sorted(names, key=lambda name: (-mean[name], name)))
    return BarData(
        settings=settings,
        shares={item.evaluator: tuple(item.shares.get(name) for name in settings) for item in given},
        stamp=ADAPTIVE,
        caption=f"n = {given[0].n} completed trials; {dataset}; stage search",
    )


def _mean_curves(curves: list[Curve]) -> list[Curve]:
    """Mean per arm at the epochs that every completed run of the arm has."""
    means = []
    for arm in sorted({curve.arm for curve in curves}):
        runs = [dict(zip(c.epochs, c.values, strict=True)) for c in curves if c.arm == arm and _completed(c)]
        epochs = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
        if epochs:
            values = tuple(float(np.mean([run[epoch] for run in runs])) for epoch in epochs)
            means.append(Curve(arm, "completed", tuple(epochs), values))
    return means


def _completed(curve: Curve) -> bool:
    return curve.end_reason == "completed"
