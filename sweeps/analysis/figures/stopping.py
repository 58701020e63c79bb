"""Whom ASHA stopped, and how well its rungs foretold the end. Descriptive only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure

from embedding_core.storage.result_tables import Row
from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.drawing.style import ADAPTIVE, GREY, Looks, looks_of
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.description.descriptive import rows_of, selected_by

READING: Final = (
    "Above, how many of each arm's trials reached a rung. Below, the rank correlation of the values at a rung with the "
    "final ones among trials that completed: survivors, and exempt trials where there are any. Survivors alone "
    "understate what the rungs knew and cannot show whom they stopped wrongly."
)

FEWEST_RANKED: Final = 4
"""Below this many trials a rank correlation says nothing."""

_TRIAL_COLUMNS: Final = ("trial_id", "cell_id", "end_reason", "would_stop_rung")


@dataclass(frozen=True, slots=True)
class RungRank:
    """How well the values at a rung rank the trials that completed."""

    rung: str
    spearman: float | None
    """None where fewer than FEWEST_RANKED completed, or where all are tied."""
    n: int


@dataclass(frozen=True, slots=True)
class StoppingData:
    """Trials of each arm that reached each rung, and what the rungs' values say about the final ones."""

    marks: tuple[str, ...]
    """`start`, the rungs in images, `end`."""
    alive: dict[str, tuple[int, ...]]
    """Per arm one count per mark; the first is all of its trials."""
    ranks: tuple[RungRank, ...]
    looks: Looks
    stamp: str
    caption: str


def stopping_data(trials: pa.Table, rungs: pa.Table, *, dataset: str) -> StoppingData | None:
    """Survivors per rung and arm; None without rungs.

    An exempt trial that ASHA would have stopped went on, but counts as stopped where it would have been; its final
    value is among those that the rungs are held against.

    Args:
        trials: the table `trials` with `stage`.
        rungs: the table `rungs` with `stage`.
        dataset: for the caption.
    """
    measure = selected_by(trials)
    rows = {row["trial_id"]: row for row in rows_of(trials, "search", (*_TRIAL_COLUMNS, measure))}
    reached = [row for row in rows_of(rungs, "search", ("trial_id", "rung", "value")) if row["trial_id"] in rows]
    if not reached:
        return None
    levels = sorted({row["rung"] for row in reached})
    arms = sorted({row["cell_id"] for row in rows.values()})
    alive = {}
    for arm in arms:
        own = [row for row in rows.values() if row["cell_id"] == arm]
        at = [sum(r["rung"] == level and rows[r["trial_id"]]["cell_id"] == arm for r in reached) for level in levels]
        ended = sum(row["end_reason"] == "completed" and row["would_stop_rung"] is None for row in own)
        alive[arm] = (len(own), *at, ended)
    exempt = sum(row["would_stop_rung"] is not None for row in rows.values())
    also = f"; exempt trials count as stopped where ASHA would have stopped them ({exempt})" if exempt else ""
    return StoppingData(
        marks=("start", *(_images(level) for level in levels), "end"),
        alive=alive,
        ranks=tuple(_rank(reached, rows, level, measure) for level in levels),
        looks=looks_of(trials),
        stamp=ADAPTIVE,
        caption=f"n = {plural(len(rows), 'trial')}; {dataset}; stage search{also}",
    )


def _rank(reached: Sequence[Row], rows: Mapping[str, Row], level: int, measure: str) -> RungRank:
    from scipy.stats import spearmanr  # takes half a second to load, and few reports need it

    pairs = [
        (row["value"], rows[row["trial_id"]][measure])
        for row in reached
        if row["rung"] == level and row["value"] is not None and _has_final(rows[row["trial_id"]], measure)
    ]
    if len(pairs) < FEWEST_RANKED or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return RungRank(_images(level), None, len(pairs))
    early, final = zip(*pairs, strict=True)
    return RungRank(_images(level), float(spearmanr(early, final).statistic), len(pairs))


def _has_final(row: Row, measure: str) -> bool:
    return row["end_reason"] == "completed" and row[measure] is not None


def _images(n: int) -> str:
    """12,345 as `12.3k`: the axis has little room."""
    return f"{n / 1000:.3g}k" if n >= 1000 else str(n)


@styled
def draw_stopping(data: StoppingData) -> Figure:
    """Above, the share of each arm still running at each rung; below, rung against final rank."""
    figure, (top, bottom) = canvas("Who was stopped", data.caption, height=4.6, rows=2, stamp=data.stamp)
    places = range(len(data.marks))
    for arm, counts in data.alive.items():
        colour, marker = data.looks[arm]
        top.plot(places, [n / counts[0] for n in counts], marker=marker, color=colour, linewidth=1.8, markersize=6)
    for row, (arm, counts) in enumerate(data.alive.items(), start=1):  # counts in rows of their own, under the lines
        for x, n in zip(places, counts, strict=True):
            top.text(x, -0.17 * row, str(n), fontsize=8, ha="center", va="center", color=data.looks[arm][0])
    top.set(xticks=places, xticklabels=data.marks, ylabel="share reached", ylim=(-0.1 - 0.17 * len(data.alive), 1.08))
    known = [(x, rank.spearman) for x, rank in enumerate(data.ranks, start=1) if rank.spearman is not None]
    bottom.axhline(0, color=GREY, linewidth=1)
    bottom.plot([x for x, _ in known], [r for _, r in known], "D", color="black", linestyle="none")
    for x, rank in enumerate(data.ranks, start=1):
        text = f"n = {rank.n}" if rank.spearman is None else f"{number(rank.spearman, decimals=2)}\nn = {rank.n}"
        height = rank.spearman if rank.spearman is not None else 0.2  # clear of the line at 0
        bottom.annotate(text, (x, height), (9, 0), textcoords="offset points", fontsize=8, va="center")
    bottom.set(xticks=places, xticklabels=data.marks, xlim=top.get_xlim(), ylim=(-1.1, 1.1))
    bottom.set(xlabel="images forwarded at the rung", ylabel="Spearman with final")
    plain_ticks(bottom, "y")
    top.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    for axes in (top, bottom):
        axes.tick_params(axis="x", labelsize=8)
    legend_below(figure, dots(data.looks, data.alive))
    return figure
