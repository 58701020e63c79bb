"""Whether an effect reaches to other classes of images: an interval over replicates and classes at once. Pure."""

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeps.analysis.stats.intervals.effects import Interval
from sweeps.analysis.stats.reading.composite import CHANCE
from sweeps.analysis.stats.reading.contrasts import CellRuns

RESAMPLES: Final = 1999
SEED: Final = 0

BLOCK_VALUES: Final = 2**21
"""Resamples x classes in memory at a time: 16 MiB an array. The 1,999 resamples of 11,000 classes would be 176 MB."""

ROWS_TOGETHER: Final = 16
"""A block is a multiple of so many resamples: BLAS rounds the rows of such blocks as it does those of the whole."""

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
    means = np.empty(RESAMPLES)
    step = max(ROWS_TOGETHER, BLOCK_VALUES // n_classes // ROWS_TOGETHER * ROWS_TOGETHER)
    for start in range(0, RESAMPLES, step):
        own = drawn_units[start : start + step]
        drawn_classes = rng.multinomial(n_classes, np.full(n_classes, 1 / n_classes), size=len(own)) * weights
        drawn_classes /= drawn_classes.sum(axis=1, keepdims=True)
        means[start : start + step] = ((own @ parts) * drawn_classes).sum(axis=1)
    estimate = float((parts @ weights).mean() / weights.sum())
    m = min(n_units, n_classes)
    error = float(means.std() * np.sqrt(m / (m - 1)))
    half = float(special.stdtrit(m - 1, 0.975)) * error
    return Interval(estimate, estimate - half, estimate + half, n_units, error)


def class_parts(
    eval_groups: pa.Table, runs: CellRuns, *, split: str = "test"
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Contrast per unit and class, [units, classes], and each class's number of positive pairs.

    A failed run counts as chance in every class. None if a run's parts were not stored, the splits differ, there are
    fewer than two classes, or the parts do not average to the stored AUC.
    """
    auc = _auc_by_class(eval_groups, runs, split)
    if not auc:
        return None
    classes, counts, _ = next(iter(auc.values()))
    if len(classes) < 2 or any(
        not np.array_equal(of.classes, classes) or not np.array_equal(of.images, counts) for of in auc.values()
    ):
        return None
    lost, trial_ids = runs.lost, np.array(runs.trial_ids)
    values = np.full((*trial_ids.shape, len(classes)), CHANCE)  # [replicates, cells, blocks, classes]
    for at in np.ndindex(trial_ids.shape):
        own = auc.get(str(trial_ids[at]))
        if own is not None:
            values[at] = own.auc
        elif not lost[at]:
            return None
    pairs = counts * (counts - 1) / 2
    if np.abs(values @ (pairs / pairs.sum()) - runs.outcomes).max() > PARTS_AGREE:
        return None
    return runs.of_units(np.moveaxis(values, -1, 0)).T, pairs


class _ByClass(NamedTuple):
    """Of one run, by ascending class."""

    classes: NDArray[np.int64]
    images: NDArray[np.int64]
    auc: NDArray[np.float64]


def _auc_by_class(eval_groups: pa.Table, runs: CellRuns, split: str) -> dict[str, _ByClass]:
    """By trial_id, of classes with a positive pair and of trials with any such part."""
    ids = pa.array(sorted(set(np.array(runs.trial_ids).ravel().tolist())), pa.string())
    mask = pc.and_(pc.is_in(eval_groups["trial_id"], ids), pc.is_valid(eval_groups["value"]))
    for column, value in (("stage", "confirm"), ("split", split), ("metric", "auc")):
        mask = pc.and_(mask, pc.equal(eval_groups[column], value))
    rows = eval_groups.filter(mask).sort_by([("trial_id", "ascending"), ("class_id", "ascending")])
    # Columns, not a dict a row: a hundred runs of 11,000 classes are a million rows.
    columns = [rows[name].to_numpy() for name in ("class_id", "n", "value")]
    sizes = rows["trial_id"].value_counts()  # in the order in which they come
    ends = np.cumsum([0, *sizes.field("counts").to_pylist()])
    return {
        name: _ByClass(*(column[start:end] for column in columns))
        for name, start, end in zip(sizes.field("values").to_pylist(), ends, ends[1:], strict=False)
    }
