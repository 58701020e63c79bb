"""Second looks at a contrast: other intervals, another scale, and what n blocks could have detected. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from statsmodels.stats.power import TTestPower

from sweeps.analysis.stats.contrasts import COMPOSITE_AUC, CellBlocks, weighted
from sweeps.analysis.stats.effects import ALPHA, Interval, t_interval
from sweeps.results.columns import is_auc

RESAMPLES: Final = 4999
"""For percentiles; a standard error needs fewer."""

RESAMPLES_FOR_ERROR: Final = 1999
SEED: Final = 0
POWER: Final = 0.8

SPLIT_OF_OUTCOME: Final = {"test_auc": "test", "unseen_auc": "unseen"}
"""Outcomes whose parts by class are stored, and of which split."""

NO_SPREAD: Final = 1e-12
"""Standard deviation, in AUC, below which blocks differ by rounding alone."""

PARTS_AGREE: Final = 1e-6
"""How far the mean of the per-class AUCs may lie from the stored AUC."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """What else was computed of one contrast; None where it cannot be."""

    bca: Interval | None
    """Bias-corrected accelerated bootstrap over blocks; too narrow below about ten blocks."""

    crossed: Interval | None
    """Bootstrap over blocks x classes of the split; AUC outcomes with parts by class only."""

    logit: Interval | None
    """The contrast of log(AUC / (1 - AUC)); AUC outcomes only."""

    minimum_detectable: float
    """Effect that these blocks detect at 80 % power."""


def robustness(blocks: CellBlocks, eval_groups: pa.Table | None, *, outcome: str, adjusted_for: int = 1) -> Robustness:
    """All second looks at the contrast of `blocks`.

    Args:
        blocks: from `cell_blocks`, of stage confirm.
        eval_groups: the table with `stage`, for the per-class parts of an AUC; None where it was not stored.
        outcome: what `blocks` holds.
        adjusted_for: contrasts that Holm's adjustment holds together; the first of them must pass at 5 % over that.
    """
    split = SPLIT_OF_OUTCOME.get(outcome)
    parts = None if eval_groups is None or split is None else class_parts(eval_groups, blocks, split=split)
    return Robustness(
        bca=bca_interval(blocks.values),
        crossed=None if parts is None else crossed_interval(*parts),
        logit=logit_interval(blocks) if is_auc(outcome) else None,
        minimum_detectable=minimum_detectable(blocks.values, alpha=ALPHA / adjusted_for),
    )


def bca_interval(values: ArrayLike) -> Interval | None:
    """95 % BCa bootstrap interval of a mean over blocks (n >= 2); None if the blocks do not differ.

    Source: Efron 1987; it covers .82 to .88 at n = 5 to 8 where 95 % is claimed, so it only shows sensitivity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.std() < NO_SPREAD:
        return None
    found = stats.bootstrap(
        (array,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(SEED)
    ).confidence_interval
    return Interval(float(array.mean()), float(found.low), float(found.high), array.size)


def crossed_interval(parts: NDArray[np.float64], class_weights: ArrayLike) -> Interval:
    """95 % interval of a contrast over blocks and classes at once: it reaches to other classes of the same kind.

    The standard error is that of a bootstrap that draws blocks and classes independently, each with replacement. With
    m = min(blocks, classes) of about ten its percentiles cover too little, so it is scaled by sqrt(m / (m - 1)) and
    used with t's quantile at m - 1 degrees of freedom. Conservative where noise of single (block, class) entries
    dominates.

    Args:
        parts: contrast per block and class, [blocks, classes], at least two of each.
        class_weights: positive pairs per class, > 0.

    Source: pigeonhole bootstrap, Owen 2007, arXiv 0712.1111.
    """
    weights = np.asarray(class_weights, dtype=np.float64)
    n_blocks, n_classes = parts.shape
    rng = np.random.default_rng(SEED)
    drawn_blocks = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=RESAMPLES_FOR_ERROR) / n_blocks
    drawn_classes = rng.multinomial(n_classes, np.full(n_classes, 1 / n_classes), size=RESAMPLES_FOR_ERROR) * weights
    drawn_classes /= drawn_classes.sum(axis=1, keepdims=True)
    means = ((drawn_blocks @ parts) * drawn_classes).sum(axis=1)
    estimate = float((parts @ weights).mean() / weights.sum())
    m = min(n_blocks, n_classes)
    half = float(stats.t.ppf(0.975, m - 1) * means.std() * np.sqrt(m / (m - 1)))
    return Interval(estimate, estimate - half, estimate + half, n_blocks)


def class_parts(
    eval_groups: pa.Table, blocks: CellBlocks, *, split: str = "test"
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Contrast per block and class, [blocks, classes], and each class's number of positive pairs.

    A failed run counts with `COMPOSITE_AUC` in every class. None if a run's parts were not stored, the splits
    differ, there are fewer than two classes, or the parts do not average to the stored AUC.
    """
    auc = _auc_by_class(eval_groups, blocks, split)
    sizes = {tuple(sorted((c, n) for c, (_, n) in classes.items())) for classes in auc.values()}
    failed = {(cell, block) for cell, block, _ in blocks.failed}
    if len(sizes) != 1 or len(next(iter(sizes))) < 2:
        return None
    classes, counts = (np.array(column) for column in zip(*next(iter(sizes)), strict=True))
    values = np.full((len(blocks.cells), len(blocks.blocks), len(classes)), COMPOSITE_AUC)
    for i, cell in enumerate(blocks.cells):
        for j, block in enumerate(blocks.blocks):
            own = auc.get(blocks.trial_ids[i][j])
            if own is not None:
                values[i, j] = [own[c][0] for c in classes.tolist()]
            elif (cell, block) not in failed:
                return None
    pairs = counts * (counts - 1) / 2
    if np.abs(values @ (pairs / pairs.sum()) - blocks.outcomes).max() > PARTS_AGREE:
        return None
    flat = weighted(blocks.weights, values.reshape(len(blocks.cells), -1))
    return flat.reshape(values.shape[1:]), pairs


def logit_interval(blocks: CellBlocks) -> Interval | None:
    """The contrast on the scale of log(AUC / (1 - AUC)), where a ceiling is no bound; None if an AUC is 0 or 1."""
    if ((blocks.outcomes <= 0) | (blocks.outcomes >= 1)).any():
        return None
    return t_interval(weighted(blocks.weights, special.logit(blocks.outcomes)))


def minimum_detectable(values: ArrayLike, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """Size of effect that a two-sided t test at level `alpha` over these blocks (n >= 2) detects with `power`."""
    array = np.asarray(values, dtype=np.float64)
    in_deviations = TTestPower().solve_power(nobs=array.size, alpha=alpha, power=power)
    return float(in_deviations) * float(array.std(ddof=1))


def _auc_by_class(eval_groups: pa.Table, blocks: CellBlocks, split: str) -> Mapping[str, dict[int, tuple[float, int]]]:
    """trial_id -> class_id -> (AUC, images), of classes with a positive pair and of trials with any such part."""
    ids = pa.array(sorted({trial for line in blocks.trial_ids for trial in line}), pa.string())
    mask = pc.is_in(eval_groups["trial_id"], ids)
    for column, value in (("stage", "confirm"), ("split", split), ("metric", "auc")):
        mask = pc.and_(mask, pc.equal(eval_groups[column], value))
    found: dict[str, dict[int, tuple[float, int]]] = {}
    for row in eval_groups.filter(mask).select(["trial_id", "class_id", "value", "n"]).to_pylist():
        if row["value"] is not None:
            found.setdefault(row["trial_id"], {})[row["class_id"]] = (row["value"], row["n"])
    return found
