"""Draws the figures of koleo.md from the loss and from the contrasts in examples/: `python docs/koleo_figures.py`."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow.parquet as pq
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from embedding_core.losses import koleo
from embedding_core.metrics.neighbours import nearest_neighbours
from sweeps.analysis.figures.drawing.canvas import legend_below, log_ticks, plain_ticks
from sweeps.analysis.figures.drawing.style import BAND, COLOURS, GREY, MARKERS, STYLE, svg_of

HERE = Path(__file__).parent
DOSE = HERE.parent / "examples" / "koleo_dose_features" / "contrasts.parquet"
CLASSES, IMAGES, K = 3, 8, 4
SPREAD = 0.42
"""Radians, of a class on the circle."""


def main() -> None:
    """Write figures/*.svg."""
    with matplotlib.rc_context(STYLE):
        drawn = {"mechanism": mechanism(), "dose": dose()}
    for name, figure in drawn.items():
        (HERE / "figures" / f"{name}.svg").write_text(svg_of(figure))


def mechanism() -> Figure:
    """A batch of three classes on the unit circle: whose neighbour each image sees, and where KoLeo moves it."""
    draw = torch.Generator().manual_seed(5)
    labels = torch.arange(CLASSES).repeat_interleave(IMAGES)
    angles = 2 * math.pi * labels / CLASSES + math.pi / 2 + SPREAD * torch.randn(len(labels), generator=draw)
    z = torch.stack([angles.cos(), angles.sin()], dim=1)
    order = torch.randperm(len(z), generator=draw)
    figure = Figure(figsize=(6.6, 7.0), layout="constrained")
    (whole, parts), (any_one, other) = figure.subplots(2, 2)

    links(whole, z, labels, nearest_neighbours(z)[:, 0])
    micro = torch.empty(len(z), dtype=torch.int64)
    in_parts = order[nearest_neighbours(z[order], group_size=len(z) // K)[:, 0]]
    micro[order] = in_parts
    links(parts, z, labels, micro)
    kept = int((micro == nearest_neighbours(z)[:, 0]).sum())
    for axes in (whole, parts, any_one, other):
        axes.title.set_fontsize(10)
    whole.set_title(f"nearest neighbours\nin a batch of {len(z)}")
    parts.set_title(f"in micro-batches of {len(z) // K} (naive, K={K}):\n{kept} of {len(z)} are the same")
    moves(any_one, z, labels, exclude_same_class=False)
    moves(other, z, labels, exclude_same_class=True)
    any_one.set_title("KoLeo: away from the nearest,\nmostly a class mate")
    other.set_title("away from the nearest\nof another class")
    return figure


def points(axes: Axes, z: Tensor, labels: Tensor) -> None:
    """The images, a colour and a marker for each class."""
    axes.add_patch(matplotlib.patches.Circle((0, 0), 1, fill=False, color=BAND))
    for label in range(CLASSES):
        own = z[labels == label].numpy()
        axes.plot(own[:, 0], own[:, 1], MARKERS[label], color=COLOURS[label], markersize=5, linestyle="none")
    axes.set(xlim=(-1.45, 1.45), ylim=(-1.45, 1.45), aspect="equal")
    axes.set_axis_off()


def links(axes: Axes, z: Tensor, labels: Tensor, nearest: Tensor) -> None:
    """A chord from each image to the neighbour it sees; grey to one of another class."""
    points(axes, z, labels)
    for row, found in enumerate(nearest.tolist()):
        ends = np.stack([z[row].numpy(), z[found].numpy()])
        colour = COLOURS[int(labels[row])] if labels[row] == labels[found] else GREY
        axes.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=1.2, alpha=0.8)


def moves(axes: Axes, z: Tensor, labels: Tensor, *, exclude_same_class: bool) -> None:
    """An arrow against the gradient of KoLeo, of a length that shows its direction alone."""
    points(axes, z, labels)
    leaf = z.clone().requires_grad_()
    koleo(leaf, labels=labels, exclude_same_class=exclude_same_class).backward()
    assert leaf.grad is not None
    along = torch.stack([-z[:, 1], z[:, 0]], dim=1)  # KoLeo is of unit vectors: it moves them along the circle
    sign = torch.sign(-(leaf.grad * along).sum(dim=1, keepdim=True))
    step = (0.3 * sign * along).numpy()
    start = (1.12 * z).numpy()
    for (x, y), (dx, dy), label in zip(start, step, labels.tolist(), strict=True):
        axes.annotate("", (x + dx, y + dy), (x, y), arrowprops={"arrowstyle": "->", "color": COLOURS[label]})


def dose() -> Figure:
    """What each weight changes, on both outcomes."""
    table = pq.read_table(DOSE).to_pylist()
    rows = [row for row in table if row["epoch"] is None and row["estimand"].startswith("koleo at")]
    figure = Figure(figsize=(6.6, 3.6), layout="constrained")
    for axes, (metric, label, sesoi) in zip(
        figure.subplots(1, 2), (("test_auc", "AUC", 0.003), ("test_recall_at_1", "recall@1", 0.01)), strict=True
    ):
        axes.axhspan(-sesoi, sesoi, color=BAND, zorder=0)
        axes.axhline(0, color=GREY, linewidth=1)
        kinds = [(which, steps) for which in ("any", "other-class") for steps in (1, 4)]
        for (which, steps), marker in zip(kinds, MARKERS, strict=False):
            name = f"{which} neighbours, K={steps}"
            own = sorted((weight_of(row), row) for row in rows if row["metric"] == metric and name in row["estimand"])
            draw_line(axes, own, colour=COLOURS[int(which != "any")], dashed=steps > 1, marker=marker, label=name)
        axes.set(xscale="log", xlabel="KoLeo weight", ylabel=f"change in {label}")
        log_ticks(axes, "x")
        plain_ticks(axes, "y", signed=True)
    handles, _ = axes.get_legend_handles_labels()
    legend_below(figure, handles)
    return figure


def weight_of(row: dict[str, Any]) -> float:
    """From the cells that are compared."""
    return next(
        float(level.removeprefix("koleo_weight="))
        for cell in json.loads(row["weights"])
        for level in cell.split(",")
        if level.startswith("koleo_weight=")
    )


def draw_line(
    axes: Axes, own: list[tuple[float, dict[str, Any]]], *, colour: str, dashed: bool, marker: str, label: str
) -> None:
    """Estimates with their intervals by weight."""
    weights = [weight for weight, _ in own]
    estimates = [row["estimate"] for _, row in own]
    below, above = ([abs(row[end] - row["estimate"]) for _, row in own] for end in ("ci_low", "ci_high"))
    axes.errorbar(
        weights, estimates, (below, above), color=colour, linestyle="--" if dashed else "-", marker=marker,
        markersize=4, linewidth=1.2, capsize=2, label=label,
    )  # fmt: skip


if __name__ == "__main__":
    main()
