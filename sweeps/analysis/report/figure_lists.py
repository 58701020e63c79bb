"""Figures of the report's sections, each with how to read it; those without data are left out."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import pyarrow as pa
from matplotlib.figure import Figure

from sweeps.analysis.document import Picture
from sweeps.analysis.figures import curves as curve_figures
from sweeps.analysis.figures import (
    dose,
    epochs,
    forest,
    gap,
    interaction,
    isolation,
    losses,
    plane,
    similarities,
    stopping,
)
from sweeps.analysis.figures import paired as paired_figures
from sweeps.analysis.figures import search as search_figures
from sweeps.analysis.figures import tuning as tuning_figures
from sweeps.analysis.figures.drawing.style import looks_of
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.answers.koleo_against_accumulation import Comparison
from sweeps.analysis.stats.description import descriptive
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.stats.reading.stored_plan import ROUNDING, Contrast
from sweeps.results.columns import WHILE_TRAINING

T = TypeVar("T")

FEWEST_TUNED: Final = 6
"""Trials of a cell below which what more of them would bring cannot be seen."""

MOST_OUTCOMES: Final = 2
"""Side by side in one figure."""

MOST_CELLS: Final = 6
"""Cells above which dots of all in one panel hide each other: the table of trials has them."""


def design(
    trials: pa.Table, found: list[Finding], compared: Sequence[Comparison], dataset: str, aside: set[str]
) -> list[Picture]:
    """The planned comparison: contrasts, and outcomes against accumulation steps, with outcomes side by side."""
    families = ("primary", "beside")
    outcomes = dict.fromkeys(one.contrast.outcome for one in found if one.contrast.family in families)
    by_steps = [
        interaction.interaction_data(trials, outcome=outcome, dataset=dataset, without=aside)
        for outcome in [*outcomes][:MOST_OUTCOMES] or ["test_auc"]
    ]
    there = [data for data in by_steps if data is not None]
    return forest_of(forest.forest_items(found, compared), dataset) + _drawn(
        "interaction", there or None, interaction.draw_interaction, interaction.READING
    )


def forest_of(items: Sequence[forest.ForestItem], dataset: str) -> list[Picture]:
    """The forest; none of a single contrast, whose interval the table has."""
    panels = list(dict.fromkeys(item.panel for item in items))[:MOST_OUTCOMES]
    shown = [item for item in items if item.panel in panels]
    data = forest.forest_data(shown, dataset=dataset) if len({item.label for item in shown}) > 1 else None
    return _drawn("forest", data, forest.draw_forest, forest.reading)


def paired(trials: pa.Table, found: list[Finding], dataset: str) -> list[Picture]:
    """Outcomes of each primary, replicate by replicate; an effect on an effect has no two sides to draw."""
    pictures, looks = [], looks_of(trials)
    for i, finding in enumerate(found):
        effect, runs = finding.effect, finding.runs
        if effect is not None and runs is not None and _has_two_sides(finding.contrast):
            data = paired_figures.paired_data(
                runs, effect, finding.contrast, looks=looks, dataset=dataset, origin=finding.origin
            )
            pictures += _drawn(_name("paired", finding, i), data, paired_figures.draw_paired, paired_figures.reading)
    return pictures


def by_epoch(found: list[Finding], dataset: str) -> list[Picture]:
    """Each primary contrast at every epoch that all runs reached."""
    pictures = []
    for i, finding in enumerate(found):
        contrast = finding.contrast
        if finding.by_epoch and finding.runs is not None:
            data = epochs.epoch_data(
                finding.by_epoch,
                title=contrast.label.removesuffix(","),
                outcome=WHILE_TRAINING[contrast.outcome],
                counted=finding.runs.counted(),
                dataset=dataset,
                sesoi=contrast.sesoi,
            )
            pictures += _drawn(_name("epochs", finding, i), data, epochs.draw_epochs, epochs.READING)
    return pictures


def tuning(trials: pa.Table, dataset: str) -> list[Picture]:
    """Where tuning looked, and what it found."""
    settings = None if _crowded(trials) else isolation.isolation_data(trials, dataset=dataset)
    weights = dose.dose_data(trials, dataset=dataset)
    best = tuning_figures.tuning_data(trials, dataset=dataset)
    if best is not None and max(len(curve.means) for curve in best.curves) < FEWEST_TUNED:
        best = None
    return [
        *_drawn("isolation", settings, isolation.draw_isolation, isolation.reading),
        *_drawn("dose", weights, dose.draw_dose, dose.READING),
        *_drawn("tuning", best, tuning_figures.draw_tuning, tuning_figures.reading),
    ]


def learning_curves(trials: pa.Table, curves: pa.Table, dataset: str, aside: set[str]) -> list[Picture]:
    """Validation AUC by epoch, a figure per stage."""
    pictures = []
    for stage in descriptive.trials_by_stage(trials, curves):
        data = curve_figures.curve_data(trials, curves, stage=stage, dataset=dataset, without=aside)
        pictures += _drawn(f"curves-{stage}", data, curve_figures.draw_curves, curve_figures.reading)
    return pictures


def by_cell(trials: pa.Table, curves: pa.Table, cells: Sequence[str], dataset: str) -> list[Picture]:
    """What training looked like in each confirmed cell."""
    loss = losses.loss_data(trials, curves, cells, dataset=dataset)
    similar = similarities.similarity_data(trials, curves, cells, dataset=dataset)
    return [
        *_drawn("losses", loss, losses.draw_losses, losses.reading),
        *_drawn("similarities", similar, similarities.draw_similarities, similarities.READING),
    ]


def search(trials: pa.Table, rungs: pa.Table, dataset: str) -> list[Picture]:
    """Every trial of the search, and the censoring by ASHA."""
    tried = search_figures.search_data(trials, dataset=dataset)
    stopped = stopping.stopping_data(trials, rungs, dataset=dataset)
    return [
        *_drawn("search", tried, search_figures.draw_search, search_figures.READING),
        *_drawn("stopping", stopped, stopping.draw_stopping, stopping.READING),
    ]


def mechanism(trials: pa.Table, curves: pa.Table, dataset: str) -> list[Picture]:
    """How KoLeo and accumulation act."""
    space = None if _crowded(trials) else plane.plane_data(trials, curves, dataset=dataset)
    kept = gap.gap_data(trials, curves, dataset=dataset)
    kept = kept if kept is not None and len(kept.ks) > 1 else None
    return [
        *_drawn("plane", space, plane.draw_plane, plane.reading(trials)),
        *_drawn("gap", kept, gap.draw_gap, gap.READING),
    ]


def _drawn(name: str, data: T | None, draw: Callable[[T], Figure], reading: str | Callable[[T], str]) -> list[Picture]:
    """The figure, if there are data."""
    if data is None:
        return []
    return [Picture(name, partial(draw, data), reading if isinstance(reading, str) else reading(data))]


def _crowded(trials: pa.Table) -> bool:
    return len(trials["cell_id"].unique()) > MOST_CELLS


def _has_two_sides(contrast: Contrast) -> bool:
    """Whether it compares levels: an interaction weighs every level of every factor to 0."""
    totals: dict[tuple[str, str], float] = {}
    for cell, weight in contrast.weights.items():
        for level in levels_of(cell).items():
            totals[level] = totals.get(level, 0.0) + weight
    return not totals or any(abs(total) > ROUNDING for total in totals.values())


def _name(kind: str, finding: Finding, index: int) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", finding.contrast.estimand.lower()).strip("-") or "contrast"
    return f"{kind}-{slug}-{index + 1}" if index else f"{kind}-{slug}"
