"""Whether the embeddings of a run have collapsed, by the rows of its epochs."""

from collections.abc import Sequence

from embedding_core.storage.result_tables import Row

COLLAPSE_FROM = 3
"""First evaluation that is judged: a mean cosine above .9 is normal at initialisation."""

COLLAPSE_RANK = 2.0
"""Effective rank of embeddings near a line. Not a share of d: a tenth of d would have ended CIFAR-10 runs of rank 4 to
6 of 64 whose AUC was rising (LOG.md, 2026-11-22)."""

COLLAPSE_COSINE = 0.9

COLLAPSE_AUC = 0.6
"""Of pairs of validation images; .5 is guessing. Embeddings on a line, or all in a narrow cone, may tell every class:
two separated classes are one axis (rank 1.7 at an AUC of 1), and two dimensions have no rank above 2. A cone may open
again, too: a run at a cosine above .9 with AUC .74 and its loss at the margin ended at .895 (LOG.md, 2026-11-26)."""

ONE_COSINE = 0.999
"""Mean cosine of embeddings that are one but for rounding, which may still tell some classes."""


def collapsed(rows: Sequence[Row]) -> bool:
    """Whether the embeddings have collapsed at the last of `rows`.

    From the third evaluation on, at two evaluations running: embeddings that are all one (mean cosine above .999), or
    an effective rank below 2 or a mean cosine above .9 of embeddings that tell hardly more than guessing. A loss at the
    margin says nothing: a slow run passes it on its way down.

    Args:
        rows: one per epoch so far.
    """
    return len(rows) >= COLLAPSE_FROM and all(map(_degenerate, rows[-2:]))


def _degenerate(row: Row) -> bool:
    cosine = _number(row, "val_sim_mean")
    narrow = _number(row, "val_effective_rank") < COLLAPSE_RANK or cosine > COLLAPSE_COSINE
    return cosine > ONE_COSINE or (narrow and _number(row, "val_auc") < COLLAPSE_AUC)


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, float)
    return value
