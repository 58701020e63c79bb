"""Ours beside the published figures of study 4: SimCLR, its loss held against what it can reach."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.document import Section, Table
from sweeps.analysis.published.published import ABSENT, Settings, differs, mean
from sweeps.analysis.stats.checks import is_number
from sweeps.analysis.stats.curves import Run, runs_of
from sweeps.analysis.wording import number

HEADING: Final = "Beside study 4"

DATASETS: Final = ("stl10", "stl10-unlabelled", "caltech101", "cifar10")
"""The study's sets, and natural images of their kind."""

TEMPERATURE: Final = 0.5

NEIGHBOURS: Final = 5


class Published(NamedTuple):
    """One iteration of the study."""

    name: str
    loss: float
    batch: int
    similarities: tuple[float, float]
    """Of the nearest and of the fifth neighbour, by eye over STL-10."""


PUBLISHED: Final = (
    Published("AlexNet, STL-10, if batch 256", 5.03, 256, (0.91, 0.88)),
    Published("AlexNet, STL-10, if batch 512", 5.03, 512, (0.91, 0.88)),
    Published("ResNet-50, Caltech-101, batch 200", 4.0917, 200, (0.84, 0.34)),
)
"""One run each; which batch the first one had is not said."""

SETTINGS: Final[Settings] = {
    "dataset": ("stl10", "caltech101"),
    "backbone": ("alexnet", "resnet50"),
    "weights": ("imagenet",),
    "image_size": (96, 200),
    "augmentation": ("study4_weak", "study4_strong"),
    "head_layers": (5,),
    "embedding_dim": (128,),
    "temperature": (TEMPERATURE,),
    "batch_size": (256, 512, 200),
    "optimizer": ("sgd",),
    "momentum": (0.0,),
    "schedule": ("anneal",),
    "lr": (0.1, 0.01),
    "backbone_lr_ratio": (0.1,),
    "epochs": (150,),
    "held_out_layer": ("backbone",),
}
"""How the study trained; what a sweep has otherwise is told."""

EVALUATION: Final = (
    "The study called its loss of 4.0917 still high, without its bounds: of N images in two views each, "
    "log(1 + (2N − 2) e^(−1/τ)) where all negatives are orthogonal, and log(2N − 1) where the other view is guessed. "
    "Ours are means over blocks at the last epoch; similarities are means over the queries "
    "drawn of the test split in one block."
)


def floor(n: int, temperature: float = TEMPERATURE) -> float:
    """NT-Xent of a batch of `n` images in two views, which agree, while all negatives are orthogonal."""
    return math.log1p((2 * n - 2) * math.exp(-1 / temperature))


def chance(n: int) -> float:
    """NT-Xent of a batch of `n` images in two views whose embeddings are all alike."""
    return math.log(2 * n - 1)


def section(trials: pa.Table, curves: pa.Table, views: pa.Table, cells: Sequence[str]) -> Section:
    """The table and what differs; empty unless confirm runs trained NT-Xent on natural images.

    Args:
        trials: with the column `stage`.
        curves: with the column `stage`.
        views: with the column `stage`: the similarities of neighbours.
        cells: rows of the table, as far as they fit.
    """
    names, columns = ("dataset", "loss", *SETTINGS), ("loss_base", "loss_floor", "loss_chance")
    runs = {
        cell: [run for run in own if run.trial["loss"] == "nt_xent" and run.trial["dataset"] in DATASETS]
        for cell, own in runs_of(trials, curves, cells, columns, of_trial=names).items()
    }
    there = {cell: own for cell, own in runs.items() if own}
    if not there:
        return Section(HEADING)
    nearest = _similarities(views)
    rows = [_published(one) for one in PUBLISHED]
    rows += [_ours(cell, own, nearest) for cell, own in there.items()]
    header = ["", "loss", "floor", "chance", "above the floor", "nearest, fifth neighbour", "runs"]
    settings = differs([run.trial for own in there.values() for run in own], SETTINGS)
    return Section(HEADING, [EVALUATION, settings], tables=[Table(header, rows)])


def _published(one: Published) -> list[str]:
    bounds = floor(one.batch), chance(one.batch)
    numbers = [number(value) for value in (one.loss, *bounds, one.loss - bounds[0])]
    return [f"published: {one.name}", *numbers, ", ".join(number(x, decimals=2) for x in one.similarities), "1"]


def _ours(cell: str, runs: Sequence[Run], nearest: dict[str, tuple[float, float]]) -> list[str]:
    ends = [run.epochs[-1] for run in runs]
    texts = [mean(end[name] for end in ends) for name in ("loss_base", "loss_floor", "loss_chance")]
    above = [end["loss_base"] - end["loss_floor"] for end in ends if _bounded(end)]
    own = [nearest[run.trial["trial_id"]] for run in runs if run.trial["trial_id"] in nearest]
    similar = [number(sum(side) / len(own), decimals=2) for side in zip(*own, strict=True)]
    return [cell, *texts, mean(above), ", ".join(similar) or ABSENT, str(len(runs))]


def _bounded(end: dict[str, float | None]) -> bool:
    return is_number(end["loss_base"]) and is_number(end["loss_floor"])


def _similarities(views: pa.Table) -> dict[str, tuple[float, float]]:
    """Mean over queries of the cosine to the nearest and to the fifth neighbour, by confirm trial."""
    found = {}
    for rank in (1, NEIGHBOURS):
        wanted = {"stage": "confirm", "split": "test", "view": "neighbours", "rank": rank}
        mask = None
        for name, value in wanted.items():
            own = pc.equal(views[name], value)
            mask = own if mask is None else pc.and_(mask, own)
        means = views.filter(mask).group_by("trial_id").aggregate([("value", "mean")]).to_pylist()
        found[rank] = {row["trial_id"]: row["value_mean"] for row in means if is_number(row["value_mean"])}
    first, last = found[1], found[NEIGHBOURS]
    return {trial: (first[trial], last[trial]) for trial in first.keys() & last.keys()}
