"""Exact counting over all pairs of rows in bounded memory: scores come in tiles, are sorted in chunks and compared."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

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


def twice_wins(
    positive: Shaped[np.ndarray, " p"],
    negative: Shaped[np.ndarray, " n"],
    *,
    bounds: Int[np.ndarray, " edges"] | None = None,
) -> Int[np.ndarray, " runs"]:
    """Twice the number of (positive, negative) in which the positive is higher, ties half, by run of positives.

    Args:
        positive: scores, each run sorted, no NaN.
        negative: sorted scores, no NaN.
        bounds: where runs begin and where the last one ends, ascending from 0 to p; None for a single run.
    """
    edges = np.array([0, len(positive)]) if bounds is None else bounds

    def count(start: int) -> np.ndarray:
        # Sorted needles walk the sorted haystack in order, which keeps the search in the cache.
        needles = positive[start : start + NEEDLES]
        below = negative.searchsorted(needles, side="left")
        tied = negative.take(below, mode="clip") == needles  # few: the second search is spared for the rest
        twice = np.zeros(1 + len(needles), np.int64)
        twice[1:] = 2 * below
        twice[1:][tied] += negative.searchsorted(needles[tied], side="right") - below[tied]
        by_run: np.ndarray = np.diff(twice.cumsum(out=twice)[np.clip(edges - start, 0, len(needles))])
        return by_run

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # numpy searches without the interpreter's lock
        found = threads.map(count, range(0, len(positive), NEEDLES))
        total: np.ndarray = sum(found, np.zeros(len(edges) - 1, np.int64))
    return total


class Wins(NamedTuple):
    """What an AUC over all pairs is made of, by class with a positive pair, in ascending order of label."""

    labels: Int[np.ndarray, " c"]
    sizes: Int[np.ndarray, " c"]
    """Images."""
    twice: list[int]
    """`twice_wins` of the class' pairs over all negative pairs of the set."""
    n_negative: int

    @property
    def n_positive(self) -> Int[np.ndarray, " c"]:
        """Pairs within the class."""
        pairs: np.ndarray = self.sizes * (self.sizes - 1) // 2
        return pairs


def verification_wins(unit: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Wins:
    """`twice_wins` of dot products within each class over those between classes.

    Each pair counts once, without self pairs. Time: a sort of all n (n - 1) / 2 scores and a search for each positive
    one among the negative ones; the commoner kind is computed again for every chunk of the rarer. Memory: two chunks
    and 4 n d.
    """
    order = labels.argsort(stable=True)
    unit, classes = unit.detach()[order].cpu(), labels[order].cpu().numpy()
    values, sizes = np.unique(classes, return_counts=True)
    values, sizes = values[sizes > 1], sizes[sizes > 1]
    n_negative = len(classes) * (len(classes) - 1) // 2 - int((sizes * (sizes - 1) // 2).sum())
    wins = Wins(values, sizes, [0] * len(sizes), n_negative)
    runs = {True: wins.n_positive, False: np.array([n_negative])}
    rarer = int(wins.n_positive.sum()) <= n_negative
    for held in _sorted_chunks(_scores(unit, classes, same=rarer), runs[rarer]):
        for other in _sorted_chunks(_scores(unit, classes, same=not rarer), runs[not rarer]):
            positive, negative = (held, other) if rarer else (other, held)
            found = twice_wins(positive.scores, negative.scores, bounds=positive.bounds)
            for run, count in enumerate(found.tolist(), positive.first):
                wins.twice[run] += count
    return wins


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


class _Chunk(NamedTuple):
    scores: Shaped[np.ndarray, " s"]
    """Sorted within each run."""
    bounds: Int[np.ndarray, " edges"]
    """Where runs begin in it, and its end."""
    first: int
    """Number of the run that it begins with."""


def _sorted_chunks(pieces: Iterable[np.ndarray], runs: Int[np.ndarray, " r"]) -> Iterator[_Chunk]:
    """The values of `pieces`, `runs` of them at a time and each run sorted, in chunks that may end within a run.

    A chunk is overwritten by the next.
    """
    ends = runs.cumsum()
    done, total = 0, int(runs.sum())
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
                first, last = ends.searchsorted(done, side="right"), ends.searchsorted(done + filled, side="left")
                bounds = np.array([0, *(ends[first:last] - done), filled])
                for start, end in pairwise(bounds):
                    chunk[start:end].sort()
                yield _Chunk(chunk, bounds, int(first))
                done += filled
                chunk, filled = chunk[: total - done], 0
