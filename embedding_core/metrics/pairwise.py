"""Exact counting over all pairs of rows in bounded memory: scores come in tiles, are sorted in chunks and compared."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
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

CLASS_BITS = 2**29 - 1
"""The bits that a float64 has and a float32 has not. There a score carries its class through the sort: needles in
ascending order are found several times sooner than those of one class after another."""


class Wins(NamedTuple):
    """What an AUC over all pairs is made of, by class with a positive pair, in ascending order of label."""

    labels: Int[np.ndarray, " c"]
    sizes: Int[np.ndarray, " c"]
    """Images."""
    n_positive: list[int]
    """Pairs within the class."""
    n_negative: int
    """Pairs between classes, of the whole set."""
    twice: list[int]
    """Twice the number of (positive pair of the class, negative pair) in which the positive scores higher, ties
    half."""


def verification_wins(unit: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Wins:
    """Compare the dot products within each class with all those between classes.

    Each pair counts once, without self pairs. Time: a sort of all n (n - 1) / 2 scores and a search for each positive
    one among the negative ones; the commoner kind is computed again for every chunk of the rarer. Memory: two chunks
    and 4 n d.
    """
    order = labels.argsort(stable=True)
    unit, classes = unit.detach()[order].cpu(), labels[order].cpu().numpy()
    values, sizes = np.unique(classes, return_counts=True)
    values, sizes = values[sizes > 1], sizes[sizes > 1]
    pairs = sizes * (sizes - 1) // 2
    n_positive = int(pairs.sum())
    n_negative = len(classes) * (len(classes) - 1) // 2 - n_positive

    def positives() -> Iterator[_Positives]:
        return _positive_chunks(_scores(unit, classes, same=True), pairs)

    def negatives() -> Iterator[np.ndarray]:
        return _negative_chunks(_scores(unit, classes, same=False), n_negative)

    if n_positive <= n_negative:
        met = ((positive, negative) for positive in positives() for negative in negatives())
    else:
        met = ((positive, negative) for negative in negatives() for positive in positives())
    twice = [0] * len(pairs)
    for positive, negative in met:
        twice = [a + b for a, b in zip(twice, _twice_wins(positive, negative, len(pairs)), strict=True)]
    return Wins(values, sizes, pairs.tolist(), n_negative, twice)


class _Positives(NamedTuple):
    """Sorted scores of several classes."""

    scores: np.ndarray
    """float64. With `bounds`, each class is sorted by itself; without, the lowest bits are the class."""
    bounds: np.ndarray | None
    """Where each class begins, and the end; float64 scores have no bits to spare."""

    def block(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Some scores in the precision they were computed in, and the number of the class of each."""
        scores = self.scores[start : start + NEEDLES]
        if self.bounds is None:
            bits = scores.view(np.int64)
            return (bits & ~CLASS_BITS).view(np.float64).astype(np.float32), bits & CLASS_BITS
        within = np.diff(np.clip(self.bounds - start, 0, len(scores)))
        return scores, np.repeat(np.arange(len(within)), within)


def _twice_wins(positive: _Positives, negative: np.ndarray, n_classes: int) -> list[int]:
    """Twice the number of pairs of scores in which the positive is higher, ties half, by class."""

    def count(start: int) -> np.ndarray:
        # Sorted needles walk the sorted haystack in order, which keeps the search in the cache.
        needles, classes = positive.block(start)
        below = negative.searchsorted(needles, side="left")
        tied = np.flatnonzero(negative.take(below, mode="clip") == needles)  # few: the rest need no second search
        twice = 2 * below
        twice[tied] += negative.searchsorted(needles[tied], side="right") - below[tied]
        by_class = np.bincount(classes, weights=twice, minlength=n_classes)
        return by_class.astype(np.int64)  # exact: a needle adds less than 2^28, and 2^16 of them less than 2^53

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # numpy searches without the interpreter's lock
        found = threads.map(count, range(0, len(positive.scores), NEEDLES))
        total: np.ndarray = sum(found, np.zeros(n_classes, np.int64))
    return [int(wins) for wins in total]


def _scores(unit: Tensor, classes: np.ndarray, *, same: bool) -> Iterator[np.ndarray]:
    """Dot products of the pairs of one class (`same`) or of two, tile by tile; `classes` ascending.

    Pairs of one class come class after class: a row of tiles ends with its last class, and the next begins with it.
    """
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


def _positive_chunks(pieces: Iterable[np.ndarray], pairs: np.ndarray) -> Iterator[_Positives]:
    """Scores that come class after class, `pairs` of each."""
    ends = np.append(0, pairs.cumsum())
    done = 0
    for single, chunk in _chunks(pieces, int(ends[-1]), np.float64):
        bounds = np.clip(ends - done, 0, len(chunk))
        bits = chunk.view(np.int64)
        for number in np.flatnonzero(np.diff(bounds)):
            own = slice(bounds[number], bounds[number + 1])
            if single:
                bits[own] |= number
            else:
                chunk[own].sort()
        if single:
            chunk.sort()
        yield _Positives(chunk, None if single else bounds)
        done += len(chunk)


def _negative_chunks(pieces: Iterable[np.ndarray], total: int) -> Iterator[np.ndarray]:
    for _, chunk in _chunks(pieces, total):
        chunk.sort()
        yield chunk


def _chunks(
    pieces: Iterable[np.ndarray], total: int, dtype: npt.DTypeLike | None = None
) -> Iterator[tuple[bool, np.ndarray]]:
    """The `total` values of `pieces` in chunks, and whether they came as float32; a chunk is overwritten by the next.

    Without `dtype` they are kept as they come.
    """
    chunk, filled = np.empty(0), 0
    for piece in pieces:
        single = piece.dtype == np.float32
        if not len(chunk):
            kind = np.dtype(dtype or piece.dtype)
            chunk = np.empty(min(total, CHUNK_BYTES // kind.itemsize), kind)
        while len(piece):
            part = piece[: len(chunk) - filled]
            chunk[filled : filled + len(part)] = part
            filled += len(part)
            piece = piece[len(part) :]
            if filled == len(chunk):
                yield single, chunk
                total -= filled
                chunk, filled = chunk[:total], 0
