"""Exact counting over all pairs of rows in bounded memory: scores come in tiles, and are counted a chunk at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.metrics.score_keys import score_keys
from embedding_core.metrics.win_counts import Each, Positives, mapping, twice_wins

TILE = 384
"""Rows and columns of one matrix product. Each has this shape, and the widths of the usual matrix kernels (8, 12, 16,
24, 48) divide it: in ragged products the last columns are summed in another order, and the pairs of a collapsed
network, equal in truth, would differ by a rounding that depends on their class."""

PRODUCTS = 32
"""Tiles computed in one call: threads that meet after every tile wait for each other on a busy machine."""

CHUNK_BYTES = 2**28
"""Scores counted at a time, give or take a tile: two chunks are in memory, however many pairs there are."""


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

    Each pair counts once, without self pairs. Time: that of `twice_wins` for all n (n - 1) / 2 scores; the commoner
    kind is computed again for every chunk of the rarer. Memory: two chunks and 4 n d.
    """
    order = labels.argsort(stable=True)
    unit, classes = unit.detach()[order].cpu(), labels[order].cpu().numpy()
    values, sizes = np.unique(classes, return_counts=True)
    values, sizes = values[sizes > 1], sizes[sizes > 1]
    pairs = sizes * (sizes - 1) // 2
    n_positive = int(pairs.sum())
    n_negative = len(classes) * (len(classes) - 1) // 2 - n_positive
    width = unit.element_size()
    twice = [0] * len(pairs)
    with mapping() as each:

        def positives() -> Iterator[list[Positives]]:
            pieces = _of_classes(_keys(unit, classes, same=True, each=each), pairs)
            return _chunks(pieces, lambda piece: len(piece.keys), CHUNK_BYTES // (width + 4))

        def negatives() -> Iterator[list[np.ndarray]]:
            return _chunks(_keys(unit, classes, same=False, each=each), len, CHUNK_BYTES // width)

        if n_positive <= n_negative:
            met = ((positive, negative) for positive in positives() for negative in negatives())
        else:
            met = ((positive, negative) for negative in negatives() for positive in positives())
        for positive, negative in met:
            found = twice_wins(positive, negative, len(pairs), each).tolist()
            twice = [a + b for a, b in zip(twice, found, strict=True)]
    return Wins(values, sizes, pairs.tolist(), n_negative, twice)


def _keys(unit: Tensor, classes: np.ndarray, *, same: bool, each: Each) -> Iterator[np.ndarray]:
    """Scores of the pairs of one class (`same`) or of two, tile by tile, as `score_keys`; `classes` ascending.

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

    def keys(tile: tuple[tuple[int, int], np.ndarray]) -> np.ndarray:
        (i, j), product = tile
        rows, columns = members[i], members[j]
        scores = product[: len(rows), : len(columns)]
        if i == j or rows[-1] == columns[0]:
            mask = (rows[:, None] == columns) == same
            scores = scores[np.triu(mask, 1) if i == j else mask]
        return score_keys(scores.ravel())

    for start in range(0, len(wanted), PRODUCTS):
        batch = wanted[start : start + PRODUCTS]
        products = (tiles[[i for i, _ in batch]] @ tiles[[j for _, j in batch]].mT).numpy()
        yield from each(keys, zip(batch, products, strict=True))


def _of_classes(pieces: Iterable[np.ndarray], pairs: np.ndarray) -> Iterator[Positives]:
    """Keys that come class after class, `pairs` of each, with the number of the class."""
    ends = np.append(0, pairs.cumsum())
    numbers = np.arange(len(pairs), dtype=np.int32)
    for keys in pieces:
        yield Positives(keys, numbers.repeat(np.diff(np.clip(ends, 0, len(keys)))))
        ends -= len(keys)


_Piece = TypeVar("_Piece")


def _chunks(pieces: Iterable[_Piece], size: Callable[[_Piece], int], most: int) -> Iterator[list[_Piece]]:
    """Pieces of `most` scores or somewhat more at a time; a chunk is empty once the next is asked for."""
    chunk: list[_Piece] = []
    filled = 0
    for piece in pieces:
        chunk.append(piece)
        filled += size(piece)
        if filled >= most:
            yield chunk
            chunk.clear()  # whoever asked may still hold it
            filled = 0
    if chunk:
        yield chunk
