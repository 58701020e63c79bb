"""Figures of an Optuna study: values by trial and by level. What is computed is apart from what is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from sweeps.analysis.figures.canvas import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import ADAPTIVE, GREY, Looks, arm_style
from sweeps.analysis.optuna_studies.counts import NOT_SET, Arms

READING: Final = "Hollow marks are last values of trials that did not complete: not what they would have reached."


@dataclass(frozen=True, slots=True)
class ValuesData:
    """Last value of each trial, at its number or at its level."""

    title: str
    label: str
    """Of the horizontal axis."""

    places: tuple[float, ...]
    values: tuple[float, ...]
    completed: tuple[bool, ...]
    arms: tuple[str, ...]
    ticks: tuple[str, ...]
    """Names of the places 0, 1, ...; empty where they are trial numbers."""

    looks: Looks
    caption: str
    stamp: str = ADAPTIVE


def last_value(trial: FrozenTrial) -> float | None:
    """Final value, of an unfinished or pruned trial the last finite one it reported; None if there is none."""
    if trial.state == TrialState.COMPLETE:
        return trial.value if trial.value is not None and np.isfinite(trial.value) else None
    reported = [value for _, value in sorted(trial.intermediate_values.items()) if np.isfinite(value)]
    return reported[-1] if reported else None


def by_number(trials: Sequence[FrozenTrial], arm: Arms | None, *, study: str) -> ValuesData:
    """Values in the order the trials were begun, told apart by the levels of `arm`."""
    levels = [NOT_SET if arm is None else _level(trial, arm) for trial in trials]
    return _values(trials, [float(t.number) for t in trials], levels, (), "Values by trial", "trial", study)


def by_level(trials: Sequence[FrozenTrial], arm: Arms, *, study: str) -> ValuesData:
    """Values at each level of a parameter, spread a little sideways in the order of the trials."""
    names = tuple(level.name for level in arm.levels)
    levels = [_level(trial, arm) for trial in trials]
    spread = np.linspace(-0.3, 0.3, len(trials)) if len(trials) > 1 else np.zeros(1)
    places = [names.index(level) + float(shift) for level, shift in zip(levels, spread, strict=True)]
    return _values(trials, places, levels, names, f"Values by {arm.parameter}", arm.parameter, study)


@styled
def draw_values(data: ValuesData) -> Figure:
    """Filled where the trial completed, hollow where it was pruned, failed or goes on."""
    figure, (axes,) = canvas(data.title, data.caption, height=3.2, stamp=data.stamp)
    looks = {arm: look for arm, look in data.looks.items() if arm in data.arms}
    for arm, (colour, marker) in looks.items():
        for completed, face in ((True, colour), (False, "white")):
            own = [i for i, name in enumerate(data.arms) if name == arm and data.completed[i] == completed]
            points = [(data.places[i], data.values[i]) for i in own] or np.empty((0, 2))
            axes.plot(*np.transpose(points), marker, color=colour, markerfacecolor=face, markersize=6, linestyle="none")
    axes.set(xlabel=data.label, ylabel="last value of the objective")
    if data.ticks:
        axes.set_xticks(range(len(data.ticks)), data.ticks)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_ticks(axes, "y")
    handles = [] if data.ticks or set(looks) == {NOT_SET} else dots(looks, looks)
    for label, face in (("completed", GREY), ("pruned, failed or running", "white")):
        handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor=face, linestyle="none", label=label))
    legend_below(figure, handles)
    return figure


def _level(trial: FrozenTrial, arm: Arms) -> str:
    return str(trial.params[arm.parameter]) if arm.parameter in trial.params else NOT_SET


def _values(
    trials: Sequence[FrozenTrial],
    places: Sequence[float],
    arms: Sequence[str],
    ticks: tuple[str, ...],
    title: str,
    label: str,
    study: str,
) -> ValuesData:
    found = [(i, value) for i, trial in enumerate(trials) if (value := last_value(trial)) is not None]
    lost = len(trials) - len(found)
    return ValuesData(
        title=title,
        label=label,
        places=tuple(places[i] for i, _ in found),
        values=tuple(value for _, value in found),
        completed=tuple(trials[i].state == TrialState.COMPLETE for i, _ in found),
        arms=tuple(arms[i] for i, _ in found),
        ticks=ticks,
        looks=arm_style(arms),
        caption=f"n = {len(trials)} trials{f'; {lost} without a value' if lost else ''}; study {study}",
    )
