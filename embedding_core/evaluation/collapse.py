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

    From the third evaluation on: a mean cosine above .9 with a base loss within 1 % of the margin, which is what
    identical embeddings give, whatever the little that is left of them still tells; or, at two evaluations running, an
    effective rank below 2 or a mean cosine above .9 of embeddings that tell hardly more than guessing. The margin alone
    says nothing: a slow run passes it on its way down.

    Args:
        rows: one per epoch so far.
        margin: of a loss that equals it where all embeddings are one (see `MARGIN_LOSSES`); None: another loss.
    """
    if len(rows) < COLLAPSE_FROM:
        return False
    last = rows[-1]
    at_margin = margin is not None and abs(_number(last, "loss_base") - margin) <= COLLAPSE_MARGIN_SHARE * margin
    return (at_margin and _number(last, "val_sim_mean") > COLLAPSE_COSINE) or all(map(_degenerate, rows[-2:]))


def _degenerate(row: Row) -> bool:
    narrow = _number(row, "val_effective_rank") < COLLAPSE_RANK or _number(row, "val_sim_mean") > COLLAPSE_COSINE
    return narrow and _number(row, "val_auc") < COLLAPSE_AUC


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, float)
    return value
