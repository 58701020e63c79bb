"""Exact counting over all pairs of rows in bounded memory: scores come in tiles, are sorted in chunks and compared."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

TILE = 384
"""Rows and columns of one matrix product. Each has this shape, and the widths of the usual matrix kernels (8, 12, 16,
24, 48) divide it: in ragged products the last columns are summed in another order, and the pairs of a collapsed
network, equal in truth, would differ by a rounding that depends on their class."""

PRODUCTS = 32
"""Tiles computed in one call: threads that meet after every tile wait for each other on a busy machine."""

CHUNK_BYTES = 2**28
"""Scores sorted at a time: two chunks are in memory, however many pairs there are."""

NEEDLES = 2**16
"""Scores that one thread looks up at a time, which bounds the positions found (8 bytes each)."""


def twice_wins(positive: Shaped[np.ndarray, " p"], negative: Shaped[np.ndarray, " n"]) -> int:
    """Twice the number of (positive, negative) in which the positive is higher, ties half; both sorted, no NaN."""
    few, many = (positive, negative) if len(positive) <= len(negative) else (negative, positive)

    def count(start: int) -> int:
        # Sorted needles walk the sorted haystack in order, which keeps the search in the cache.
        needles = few[start : start + NEEDLES]
        return int(many.searchsorted(needles, side="left").sum() + many.searchsorted(needles, side="right").sum())

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # numpy searches without the interpreter's lock
        found = sum(threads.map(count, range(0, len(few), NEEDLES)))
    return found if few is positive else 2 * len(positive) * len(negative) - found


def twice_verification_wins(unit: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> tuple[int, int, int]:
    """`twice_wins` of dot products within classes over those between classes, with the two numbers of pairs.

    Each pair counts once, without self pairs. Time: a sort of all n (n - 1) / 2 scores and a search for the rarer kind
    among the others; the commoner kind is computed again for every chunk of the rarer. Memory: two chunks and 4 n d.
    """
    order = labels.argsort(stable=True)
    unit, classes = unit.detach()[order].cpu(), labels[order].cpu().numpy()
    sizes = np.unique(classes, return_counts=True)[1]
    n_positive = int((sizes * (sizes - 1) // 2).sum())
    n_negative = len(classes) * (len(classes) - 1) // 2 - n_positive
    totals = {True: n_positive, False: n_negative}
    rarer = n_positive <= n_negative
    twice = 0
    for held in _sorted_chunks(_scores(unit, classes, same=rarer), totals[rarer]):
        for other in _sorted_chunks(_scores(unit, classes, same=not rarer), totals[not rarer]):
            twice += twice_wins(held, other) if rarer else twice_wins(other, held)
    return twice, n_positive, n_negative


def _scores(unit: Tensor, classes: np.ndarray, *, same: bool) -> Iterator[np.ndarray]:
    """Dot products of the pairs of one class (`same`) or of two, tile by tile; `classes` ascending."""
    members = [classes[start : start + TILE] for start in range(0, len(classes), TILE)]
    tiles = F.pad(unit, (0, 0, 0, -len(unit) % TILE)).unflatten(0, (len(members), TILE))
    wanted = [
        (i, j)
        for i, rows in enumerate(members)
        for j, columns in enumerate(members[i:], i)
        if (i == j or rows[-1] == columns[0] if same else rows[0] != columns[-1])
    ]
    for start in range(0, len(wanted), PRODUCTS):
        batch = wanted[start : start + PRODUCTS]
        products = (tiles[[i for i, _ in batch]] @ tiles[[j for _, j in batch]].mT).numpy()
        for (i, j), product in zip(batch, products, strict=True):
            rows, columns = members[i], members[j]
            scores = product[: len(rows), : len(columns)]
            if i == j or rows[-1] == columns[0]:
                mask = (rows[:, None] == columns) == same
                yield scores[np.triu(mask, 1) if i == j else mask]
            else:
                yield scores.ravel()


def _sorted_chunks(pieces: Iterable[np.ndarray], total: int) -> Iterator[np.ndarray]:
    """The `total` values of `pieces` in sorted chunks; a chunk is overwritten by the next."""
    chunk, filled = np.empty(0), 0
    for piece in pieces:
        if not len(chunk):
            chunk = np.empty(min(total, CHUNK_BYTES // piece.itemsize), piece.dtype)
        while len(piece):
            part = piece[: len(chunk) - filled]
            chunk[filled : filled + len(part)] = part
            filled += len(part)
            piece = piece[len(part) :]
            if filled == len(chunk):
                chunk.sort()
                yield chunk
                total -= filled
                chunk, filled = chunk[:total], 0
