"""Figures of an Optuna study: values by trial and by level. What is computed is apart from what is drawn."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from sweeps.analysis.figures.canvas import canvas, legend_below, log_ticks, plain_ticks, spans_decades, styled
from sweeps.analysis.figures.style import ADAPTIVE, COLOURS, Points, short
from sweeps.analysis.optuna_studies.counts import Arms, feasible, level
from sweeps.analysis.optuna_studies.study_file import StoredStudy

NOT_COMPLETED: Final = "pruned, failed or running"
MARKS: Final = {
    "completed": ("o", COLOURS[0]),
    "completed, a constraint violated": ("x", COLOURS[1]),
    NOT_COMPLETED: ("o", "white"),
}
"""Marker and face by kind of value."""

PLAIN: Final = 1e-3, 1e4
"""Sizes of the largest value that are written without a power of ten."""


@dataclass(frozen=True, slots=True)
class ValuesData:
    """Last value of each trial, at its number or at its level."""

    title: str
    label: str
    """Of the horizontal axis."""

    objective: str
    points: dict[str, Points]
    """Kind of value -> (place, value); only kinds that occur."""

    ticks: tuple[str, ...]
    """Names of the places 0, 1, ...; empty where they are trial numbers."""

    caption: str


def last_value(trial: FrozenTrial, objective: int = 0) -> float | None:
    """Final value, of an unfinished or pruned trial the last finite one it reported; None if there is none."""
    if trial.state == TrialState.COMPLETE:
        values = trial.values[objective : objective + 1]
    else:  # what is reported on the way is of the only objective
        values = [value for _, value in sorted(trial.intermediate_values.items())]
    finite = [value for value in values if np.isfinite(value)]
    return finite[-1] if finite else None


def values_data(study: StoredStudy, objective: int, name: str, arm: Arms | None = None) -> ValuesData:
    """Values of one objective in the order the trials were begun, or at each level of a parameter, spread a little
    sideways in that order.
    """
    names = () if arm is None else tuple(arm.levels)
    spread = np.linspace(-0.3, 0.3, len(study.trials)) if len(study.trials) > 1 else np.zeros(1)
    points: dict[str, list[tuple[float, float]]] = {kind: [] for kind in MARKS}
    done, violated, other = points.values()
    for trial, shift in zip(study.trials, spread, strict=True):
        value = last_value(trial, objective)
        own = "" if arm is None else level(trial, arm.parameter)
        if value is not None and (arm is None or own in names):  # else its level may be drawn yet
            place = trial.number if arm is None else names.index(own) + float(shift)
            kind = other if trial.state != TrialState.COMPLETE else done if feasible(trial) else violated
            kind.append((place, value))
    n = len(study.trials)
    lost = n - sum(map(len, points.values()))
    by = "trial" if arm is None else arm.parameter
    return ValuesData(
        title=f"{name.capitalize()} by {by}",
        label=by,
        objective=name,
        points={kind: tuple(own) for kind, own in points.items() if own},
        ticks=names,
        caption=f"n = {n} trials{f'; {lost} without a value' * (lost > 0)}; study {study.study.study_name}",
    )


@styled
def draw_values(data: ValuesData) -> Figure:
    """Filled where the trial completed, crossed where it violates a constraint, hollow where it did not complete."""
    figure, (axes,) = canvas(data.title, data.caption, height=3.2, stamp=ADAPTIVE)
    handles: list[Line2D] = []
    for kind, own in data.points.items():
        marker, face = MARKS[kind]
        colour = COLOURS[0] if face == "white" else face
        handles += axes.plot(*np.transpose(own), marker, color=colour, markerfacecolor=face, markersize=6, label=kind)
    axes.set(xlabel=short(data.label, 46), ylabel=f"last {short(data.objective, 30)}")
    if data.ticks:
        axes.set_xticks(range(len(data.ticks)), [short(tick, 14) for tick in data.ticks])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    shown = [value for own in data.points.values() for _, value in own]
    if spans_decades(shown):
        log_ticks(axes, "y")
    elif PLAIN[0] <= max(map(abs, shown)) < PLAIN[1]:
        plain_ticks(axes, "y")
    legend_below(figure, handles)
    return figure
