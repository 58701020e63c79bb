"""Whether an effect reaches to other classes of images: an interval over replicates and classes at once. Pure."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sweeps.analysis.stats.composite import CHANCE
from sweeps.analysis.stats.contrasts import CellRuns
from sweeps.analysis.stats.effects import Interval

RESAMPLES: Final = 1999
SEED: Final = 0

FEWEST_CLASSES: Final = 8
"""Below, the classes at hand say too little about others of their kind."""

SPLIT_OF_OUTCOME: Final = {"test_auc": "test", "unseen_auc": "unseen"}
"""Outcomes whose parts by class are stored, and of which split."""

PARTS_AGREE: Final = 1e-6
"""How far the mean of the per-class AUCs may lie from the stored AUC."""


def over_classes(runs: CellRuns, eval_groups: pa.Table | None, *, outcome: str) -> Interval | None:
    """The contrast with its 95 % interval over replicates x classes; None where the parts by class do not allow it.

    Args:
        runs: from `cell_runs`, of stage confirm.
        eval_groups: the table with `stage`; None where it was not stored.
        outcome: what `runs` holds.
    """
    split = SPLIT_OF_OUTCOME.get(outcome)
    parts = None if eval_groups is None or split is None else class_parts(eval_groups, runs, split=split)
    return None if parts is None or parts[1].size < FEWEST_CLASSES else crossed_interval(*parts)


def crossed_interval(parts: NDArray[np.float64], class_weights: ArrayLike) -> Interval:
    """95 % interval of a contrast over units and classes at once: it reaches to other classes of the same kind.

    The standard error is that of a bootstrap that draws units and classes independently, each with replacement. With
    m = min(units, classes) of about ten its percentiles cover too little, so it is scaled by sqrt(m / (m - 1)) and
    used with t's quantile at m - 1 degrees of freedom. Conservative where noise of single (unit, class) entries
    dominates.

    Args:
        parts: contrast per unit and class, [units, classes], at least two of each.
        class_weights: positive pairs per class, > 0.

    Source: pigeonhole bootstrap, Owen 2007, arXiv 0712.1111.
    """
    weights = np.asarray(class_weights, dtype=np.float64)
    n_units, n_classes = parts.shape
    rng = np.random.default_rng(SEED)
    drawn_units = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=RESAMPLES) / n_units
    drawn_classes = rng.multinomial(n_classes, np.full(n_classes, 1 / n_classes), size=RESAMPLES) * weights
    drawn_classes /= drawn_classes.sum(axis=1, keepdims=True)
    means = ((drawn_units @ parts) * drawn_classes).sum(axis=1)
    estimate = float((parts @ weights).mean() / weights.sum())
    m = min(n_units, n_classes)
    error = float(means.std() * np.sqrt(m / (m - 1)))
    half = float(stats.t.ppf(0.975, m - 1)) * error
    return Interval(estimate, estimate - half, estimate + half, n_units, error)


def class_parts(
    eval_groups: pa.Table, runs: CellRuns, *, split: str = "test"
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Contrast per unit and class, [units, classes], and each class's number of positive pairs.

    A failed run counts as chance in every class. None if a run's parts were not stored, the splits differ, there are
    fewer than two classes, or the parts do not average to the stored AUC.
    """
    auc = _auc_by_class(eval_groups, runs, split)
    sizes = {tuple(sorted((c, n) for c, (_, n) in classes.items())) for classes in auc.values()}
    if len(sizes) != 1 or len(next(iter(sizes))) < 2:
        return None
    classes, counts = (np.array(column) for column in zip(*next(iter(sizes)), strict=True))
    lost, trial_ids = runs.lost, np.array(runs.trial_ids)
    values = np.full((*trial_ids.shape, len(classes)), CHANCE)  # [replicates, cells, blocks, classes]
    for at in np.ndindex(trial_ids.shape):
        own = auc.get(str(trial_ids[at]))
        if own is not None:
            values[at] = [own[c][0] for c in classes.tolist()]
        elif not lost[at]:
            return None
    pairs = counts * (counts - 1) / 2
    if np.abs(values @ (pairs / pairs.sum()) - runs.outcomes).max() > PARTS_AGREE:
        return None
    return runs.of_units(np.moveaxis(values, -1, 0)).T, pairs


def _auc_by_class(eval_groups: pa.Table, runs: CellRuns, split: str) -> Mapping[str, dict[int, tuple[float, int]]]:
    """trial_id -> class_id -> (AUC, images), of classes with a positive pair and of trials with any such part."""
    ids = pa.array(sorted(set(np.array(runs.trial_ids).ravel().tolist())), pa.string())
    mask = pc.is_in(eval_groups["trial_id"], ids)
    for column, value in (("stage", "confirm"), ("split", split), ("metric", "auc")):
        mask = pc.and_(mask, pc.equal(eval_groups[column], value))
    found: dict[str, dict[int, tuple[float, int]]] = {}
    for row in eval_groups.filter(mask).select(["trial_id", "class_id", "value", "n"]).to_pylist():
        if row["value"] is not None:
            found.setdefault(row["trial_id"], {})[row["class_id"]] = (row["value"], row["n"])
    return found
