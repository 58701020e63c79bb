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
two separated classes are one axis (rank 1.7 at an AUC of 1), and two dimensions have no rank above 2."""

COLLAPSE_MARGIN_SHARE = 0.01


def collapsed(rows: Sequence[Row], *, margin: float | None) -> bool:
    """Whether the embeddings have collapsed at the last of `rows`.

    From the third evaluation on: the effective rank below 2, or the mean cosine above .9, and embeddings that tell
    hardly more than guessing, at two evaluations running; or at one, if the base loss of triplets is within 1 % of the
    margin too, which is what identical embeddings give. The margin alone says nothing: a slow run passes it on its way
    down.

    Args:
        rows: one per epoch so far.
        margin: of a loss that equals it where all embeddings are one (see `MARGIN_LOSSES`); None: another loss.
    """
    if len(rows) < COLLAPSE_FROM:
        return False
    at_margin = margin is not None and abs(_number(rows[-1], "loss_base") - margin) <= COLLAPSE_MARGIN_SHARE * margin
    return all(_degenerate(row) for row in rows[-1 if at_margin else -2 :])


def _degenerate(row: Row) -> bool:
    narrow = _number(row, "val_effective_rank") < COLLAPSE_RANK or _number(row, "val_sim_mean") > COLLAPSE_COSINE
    return narrow and _number(row, "val_auc") < COLLAPSE_AUC


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, float)
    return value
