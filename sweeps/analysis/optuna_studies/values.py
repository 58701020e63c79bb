"""Figures of an Optuna study: values by trial and by level. What is computed is apart from what is drawn."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import optuna
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from optuna.trial import TrialState

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import (
    canvas,
    legend_below,
    log_ticks,
    plain_ticks,
    spans_decades,
    styled,
    whole_ticks,
)
from sweeps.analysis.figures.drawing.style import ADAPTIVE, COLOURS, Points, short, titled
from sweeps.analysis.numbers import plain
from sweeps.analysis.optuna_studies.counts import Arms, feasible, level

NOT_COMPLETED: Final = "pruned, failed or running"
MARKS: Final = {
    "completed": ("o", COLOURS[0], COLOURS[0]),
    "completed, a constraint violated": ("x", COLOURS[1], COLOURS[1]),
    NOT_COMPLETED: ("o", COLOURS[0], "white"),
}
"""Marker, colour and face by kind of value."""

PLAIN: Final = 1e-3, 1e4
"""Sizes of the largest value that are written without a power of ten."""


@dataclass(frozen=True, slots=True)
class ValuesData:
    """Last value of each trial, at its number or at its level of a parameter."""

    objective: str
    arm: Arms | None
    """The parameter; None: by trial."""

    points: dict[str, Points]
    """Kind of value -> (place, value); only kinds that occur. Levels have the places 0, 1, ..."""

    trials: dict[str, tuple[int, ...]]
    """Their numbers, likewise."""

    caption: str


def values_data(study: optuna.Study, objective: int, name: str, arm: Arms | None = None) -> ValuesData:
    """Values of one objective in the order the trials were begun, or at each level of a parameter, spread a little
    sideways in that order. Of a trial that did not complete, the last finite one that it reported.
    """
    trials = study.get_trials(deepcopy=False)
    places = {} if arm is None else {own: i for i, own in enumerate(arm.levels)}
    spread = np.linspace(-0.3, 0.3, len(trials)) * (arm is not None and len(trials) > 1)
    points: dict[str, dict[int, tuple[float, float]]] = {kind: {} for kind in MARKS}
    done, violated, other = points.values()
    for trial, shift in zip(trials, spread.tolist(), strict=True):
        place = trial.number if arm is None else places.get(level(trial, arm.parameter))  # which may be drawn yet
        if trial.state == TrialState.COMPLETE:
            values, kind = [trial.values[objective]], done if feasible(trial) else violated
        else:
            values, kind = [value for _, value in sorted(trial.intermediate_values.items())], other
        finite = [value for value in values if np.isfinite(value)]
        if finite and place is not None:
            kind[trial.number] = place + shift, finite[-1]
    lost = len(trials) - sum(map(len, points.values()))
    caption = f"n = {plural(len(trials), 'trial')}{f'; {lost} without a value' * (lost > 0)}; study {study.study_name}"
    found = {kind: own for kind, own in points.items() if own}
    marks = {kind: tuple(own.values()) for kind, own in found.items()}
    return ValuesData(name, arm, marks, {kind: tuple(own) for kind, own in found.items()}, caption)


@styled
def draw_values(data: ValuesData) -> Figure:
    """Filled where the trial completed, crossed where it violates a constraint, hollow where it did not complete."""
    by = data.arm.parameter if data.arm else "trial"
    title = f"{data.objective.capitalize()} by {by}"
    figure, (axes,) = canvas(title, data.caption, height=3.2, stamp=ADAPTIVE)
    handles: list[Line2D] = []
    for kind, own in data.points.items():
        marker, colour, face = MARKS[kind]
        (marks,) = axes.plot(*np.transpose(own), marker, color=colour, markerfacecolor=face, markersize=6, label=kind)
        titled(marks, *(f"trial {number}: {plain(y)}" for number, (_, y) in zip(data.trials[kind], own, strict=True)))
        handles.append(marks)
    axes.set(xlabel=short(by, 46), ylabel=f"last {short(data.objective, 30)}")
    whole_ticks(axes)
    if data.arm:
        axes.set_xticks(range(len(data.arm.levels)), [short(level, 14) for level in data.arm.levels])
    shown = [value for own in data.points.values() for _, value in own]
    if spans_decades(shown):
        log_ticks(axes, "y")
    elif PLAIN[0] <= max(map(abs, shown)) < PLAIN[1]:
        plain_ticks(axes, "y")
    legend_below(figure, [] if set(data.points) == {"completed"} else handles)
    return figure
