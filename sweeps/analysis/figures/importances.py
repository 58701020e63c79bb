"""How much of the differences among search trials each setting explains, by evaluator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing.canvas import canvas, plain_ticks, styled
from sweeps.analysis.figures.drawing.style import ADAPTIVE, COLOURS, short
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.description.importances import Importances

READING: Final = (
    "Completed trials only, so the sample is the sampler's and the survivors'. The evaluators answer different "
    "questions and may disagree."
)


@dataclass(frozen=True, slots=True)
class ImportanceData:
    """Share of importance per setting and evaluator; settings by mean share, largest first."""

    settings: tuple[str, ...]
    shares: dict[str, tuple[float | None, ...]]
    """Evaluator -> one share per setting; None where that evaluator has none."""

    stamp: str
    caption: str


def importance_data(importances: Sequence[Importances], *, dataset: str) -> ImportanceData:
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
    return ImportanceData(
        settings=settings,
        shares={item.evaluator: tuple(item.shares.get(name) for name in settings) for item in given},
        stamp=ADAPTIVE,
        caption=f"n = {given[0].n} completed trials; {dataset}; stage search",
    )


@styled
def draw_importances(data: ImportanceData) -> Figure:
    """Bars per setting, one colour per evaluator."""
    rows = len(data.settings)
    height = 1.3 + 0.2 * rows * len(data.shares)
    figure, (axes,) = canvas("Importance of the settings", data.caption, height=height, stamp=data.stamp)
    thickness = 0.8 / len(data.shares)
    for i, (evaluator, shares) in enumerate(data.shares.items()):
        offsets = np.arange(rows) + (i - (len(data.shares) - 1) / 2) * thickness
        widths = [share or 0.0 for share in shares]
        hatch = "///" if i % 2 else None
        axes.barh(offsets, widths, thickness, color=COLOURS[i], hatch=hatch, edgecolor="white", label=evaluator)
        for y, share in zip(offsets, shares, strict=True):
            if share is not None:
                axes.text(share + 0.01, y, number(share, decimals=2), va="center", fontsize=8)
    axes.set(yticks=range(rows), yticklabels=[short(name, 30) for name in data.settings], xlabel="share of importance")
    axes.set_xlim(0, 1.15 * max(share or 0.0 for shares in data.shares.values() for share in shares) + 0.02)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    plain_ticks(axes, "x")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
