"""Training and validation loss of every confirmed cell by epoch, with its phases and the values a loss can fall to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embedding_core.config.rules import MARGIN_LOSSES
from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import styled
from sweeps.analysis.figures.drawing.panel_grid import by_epoch, panel_grid
from sweeps.analysis.figures.drawing.style import COLOURS, GREY, STAMP_COLOUR, Dash
from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.description.curves import Line, Run, counted, mean_line, runs_of

COLUMNS: Final = (
    "loss_base", "val_loss", "miner", "loss_floor", "loss_chance", "val_loss_floor", "val_loss_chance",
)  # fmt: skip

TRIAL_COLUMNS: Final = ("loss", "margin", "freeze_epochs", "collapsed")

LEVELS: Final[dict[str, Dash]] = {"margin": "--", "floor": ":", "chance": "-."}
"""Levels of a loss and how their lines are drawn."""

APART: Final = 0.1
"""Share of a level from which on the validation loss has levels of its own."""

_PHASE_BOX: Final = {"boxstyle": "square,pad=0.05", "facecolor": "white", "alpha": 0.65, "linewidth": 0}

READING: Final = (
    "Thin lines are runs, thick ones the mean of those that completed. Scales differ between panels: losses of "
    "different kinds are not comparable."
)
MARGIN_READING: Final = (
    " A triplet loss that stays at its margin tells no two images apart: the embeddings have collapsed to a point."
)
BOUND_READING: Final = (
    " NT-Xent lies between its floor (all negatives orthogonal) and chance (guessing which image is the other view), "
    "which rise with the number of images that a loss sees."
)
OTHER_SIZE_READING: Final = " The validation loss sees whole batches and has its own, in its colour."
PHASE_READING: Final = " Upright lines mark where the mining changes or the backbone starts to be trained."


@dataclass(frozen=True, slots=True)
class Phase:
    """Consecutive epochs of one way of training."""

    first: int
    last: int
    name: str


@dataclass(frozen=True, slots=True)
class LossPanel:
    """One cell."""

    cell: str
    training: tuple[Line, ...]
    validation: tuple[Line, ...]
    training_mean: Line
    validation_mean: Line
    phases: tuple[Phase, ...]
    """Empty where training did not change."""

    levels: dict[str, float]
    """Of `LEVELS`, what the training loss has."""

    validation_levels: dict[str, float]
    """Of the validation loss, where they lie elsewhere."""

    runs: int
    collapsed: int
    """Runs that ended for it, or whose embeddings had collapsed at their last epoch."""


@dataclass(frozen=True, slots=True)
class LossData:
    """The cells in the order asked for."""

    panels: tuple[LossPanel, ...]
    caption: str


def loss_data(trials: pa.Table, curves: pa.Table, cells: Sequence[str], *, dataset: str) -> LossData | None:
    """Losses by cell; None where no confirm run of `cells` has recorded any."""
    runs = runs_of(trials, curves, cells, COLUMNS, of_trial=TRIAL_COLUMNS)
    measured = {cell: own for cell, own in runs.items() if any(run.line("loss_base") for run in own)}
    if not measured:
        return None
    n = sum(map(len, measured.values()))
    caption = f"n = {plural(n, 'run')}, {counted(measured, cells)}; {dataset}; stage confirm"
    return LossData(tuple(_panel(cell, own) for cell, own in measured.items()), caption)


def reading(data: LossData) -> str:
    """How to read the figure: only what it has."""
    levels = {name for panel in data.panels for name in panel.levels}
    text = READING + MARGIN_READING * ("margin" in levels) + BOUND_READING * ("floor" in levels)
    text += OTHER_SIZE_READING * any(panel.validation_levels for panel in data.panels)
    return text + PHASE_READING * any(panel.phases for panel in data.panels)


def _panel(cell: str, runs: Sequence[Run]) -> LossPanel:
    longest = max(runs, key=lambda run: len(run.epochs))
    levels = _levels(longest, "loss")
    of_validation = {name: value for name, value in _levels(longest, "val_loss").items() if name != "margin"}
    return LossPanel(
        cell=cell,
        training=tuple(run.line("loss_base") for run in runs),
        validation=tuple(run.line("val_loss") for run in runs),
        training_mean=mean_line(runs, "loss_base"),
        validation_mean=mean_line(runs, "val_loss"),
        phases=_phases(longest),
        levels=levels,
        validation_levels=of_validation if _apart(levels, of_validation) else {},
        runs=len(runs),
        collapsed=sum(bool(run.trial["collapsed"]) or run.trial["end_reason"] == "collapsed" for run in runs),
    )


def _phases(run: Run) -> tuple[Phase, ...]:
    """By miner and by whether the backbone is trained, as far as these change."""
    miners = {row["epoch"]: row["miner"] for row in run.epochs}
    frozen = run.trial["freeze_epochs"] or 0
    names = {}
    for epoch, miner in miners.items():
        parts = [miner or "no mining"] if len(set(miners.values())) > 1 else []
        parts += ["frozen" if epoch <= frozen else "unfrozen"] if min(miners) <= frozen < max(miners) else []
        names[epoch] = ", ".join(parts)
    groups = [(name, list(epochs)) for name, epochs in groupby(sorted(names), key=names.__getitem__)]
    return tuple(Phase(epochs[0], epochs[-1], name) for name, epochs in groups) if len(groups) > 1 else ()


def _levels(run: Run, loss: str) -> dict[str, float]:
    last, trial = run.epochs[-1], run.trial
    margin = trial["margin"] if trial["loss"] in MARGIN_LOSSES else None
    values = {"margin": margin, "floor": last[f"{loss}_floor"], "chance": last[f"{loss}_chance"]}
    return {name: value for name, value in values.items() if is_number(value)}


def _apart(levels: dict[str, float], others: dict[str, float]) -> bool:
    """Whether the second would not be read off the first: an epoch's last, smaller batch alone moves them little."""
    return any(abs(value - levels[name]) > APART * levels[name] for name, value in others.items())


@styled
def draw_losses(data: LossData) -> Figure:
    """A panel per cell; scales of their own, since losses of different kinds are not comparable."""
    names = [panel.cell + _collapse_note(panel) for panel in data.panels]
    figure, panels = panel_grid("Losses by cell", data.caption, names, _handles(data), height=1.15)
    for axes, panel in zip(panels, data.panels, strict=True):
        for lines, mean, colour in (
            (panel.training, panel.training_mean, COLOURS[0]),
            (panel.validation, panel.validation_mean, COLOURS[1]),
        ):
            axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.7, alpha=0.4))
            marker = "." if len(mean) == 1 else ""
            axes.plot([e for e, _ in mean], [v for _, v in mean], color=colour, linewidth=1.8, marker=marker)
        for name, value in panel.levels.items():
            axes.axhline(value, color="black", linewidth=0.9, linestyle=LEVELS[name])
        for name, value in panel.validation_levels.items():
            axes.axhline(value, color=COLOURS[1], linewidth=0.9, linestyle=LEVELS[name])
        if panel.collapsed:
            axes.title.set_color(STAMP_COLOUR)
    by_epoch(panels)
    for axes, panel in zip(panels, data.panels, strict=True):
        _draw_phases(axes, panel.phases)
    return figure


def _collapse_note(panel: LossPanel) -> str:
    return f"\ncollapsed: {panel.collapsed} of {panel.runs} runs" if panel.collapsed else ""


def _handles(data: LossData) -> list[Line2D]:
    """Curves, then the levels that some panel has."""
    handles = [Line2D([], [], color=COLOURS[0], linewidth=1.8, label="training")]
    if any(panel.validation_mean or any(panel.validation) for panel in data.panels):
        handles.append(Line2D([], [], color=COLOURS[1], linewidth=1.8, label="validation"))
    seen = {name for panel in data.panels for name in panel.levels}
    levels = [(name, style) for name, style in LEVELS.items() if name in seen]
    return handles + [Line2D([], [], color="black", linewidth=0.9, linestyle=s, label=name) for name, s in levels]


def _draw_phases(axes: Axes, phases: Iterable[Phase]) -> None:
    """A line where each phase but the first begins, its name upright beside it; the axis ends with the last phase."""
    for i, phase in enumerate(phases):
        start = phase.first - 0.5
        if i:
            axes.axvline(start, color=GREY, linewidth=0.8)
        else:
            start = max(start, axes.get_xlim()[0])
        axes.annotate(
            phase.name,
            (start, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(2.5, -1.5),
            textcoords="offset points",
            rotation=90,
            fontsize=6.5,
            color="#444444",
            ha="left",
            va="top",
            bbox=_PHASE_BOX,
        )
