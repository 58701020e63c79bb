"""A primary contrast at every epoch that all runs reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing.canvas import canvas, plain_ticks, styled, whole_ticks
from sweeps.analysis.figures.drawing.style import BAND, GREY, wrapped
from sweeps.analysis.numbers import sesoi_text
from sweeps.analysis.stats.intervals.effects import SESOI
from sweeps.analysis.stats.reading.contrasts import EpochEffect
from sweeps.results.columns import named

READING: Final = "The same runs at every epoch, on the validation split. Exploratory: each interval stands on its own."


@dataclass(frozen=True, slots=True)
class EpochData:
    """The contrast at each epoch with its interval."""

    title: str
    outcome: str
    epochs: tuple[int, ...]
    estimates: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    sesoi: float
    caption: str


def epoch_data(
    effects: Sequence[EpochEffect], *, title: str, outcome: str, counted: str, dataset: str, sesoi: float = SESOI
) -> EpochData:
    """Figure of the contrast `title` at every epoch; `counted` says how many units of what it rests on.

    Raises:
        ValueError: no marks.
    """
    if not effects:
        raise ValueError("No epoch was reached by all runs, so there is no mark to show.")
    return EpochData(
        title=title,
        outcome=outcome,
        epochs=tuple(e.epoch for e in effects),
        estimates=tuple(e.effect.estimate for e in effects),
        lows=tuple(e.effect.ci_low for e in effects),
        highs=tuple(e.effect.ci_high for e in effects),
        sesoi=sesoi,
        caption=f"{counted}; {dataset}; stage confirm; exploratory",
    )


@styled
def draw_epochs(data: EpochData) -> Figure:
    """The contrast against epochs, with pointwise 95 % intervals."""
    figure, (axes,) = canvas(f"By epoch: {data.title}", data.caption, height=2.9)
    axes.axhspan(-data.sesoi, data.sesoi, color=BAND, zorder=0, label=f"±SESOI ({sesoi_text(data.sesoi)})")
    axes.axhline(0, color=GREY, linewidth=1)
    axes.vlines(data.epochs, data.lows, data.highs, color="black", linewidth=2, label="95 % interval, pointwise")
    axes.plot(data.epochs, data.estimates, "D-", color="black", markersize=5, linewidth=0.8)
    axes.set(xlabel="epoch", ylabel=wrapped(f"difference in {named(data.outcome)}", 30))
    whole_ticks(axes, most=8)
    plain_ticks(axes, "y", signed=True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
