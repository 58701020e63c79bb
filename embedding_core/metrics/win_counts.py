"""How many negative scores each positive one beats: exact, in time in proportion to the scores, no float sorted.

Scores become integers of the same order. By their upper bits they are sent to groups that fit into the cache; there
they are counted value by value where they are dense, else ordered by a radix sort of 16 bits at a time. numpy picks its
sort of floats by processor, and on some (AVX-512 on Zen 4) the one that it picks takes five times as long as another.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from embedding_core.metrics.score_keys import DIGIT, key_scores, radix_order

GROUP = 2**16
"""Scores in a group, about: what ordering them takes stays in the cache."""

MOST_GROUPS = 255
"""The number of a group is a byte, the quickest kind to order by."""

LARGE = 2**17
"""Scores that are sent to groups, or ordered, together at most; groups of more are sent to groups again."""

JOINED = 2**22
"""Scores that are copied into one piece at most, and counted value by value at once if they are dense."""

DENSE = 4
"""Possible values per score up to which scores are counted value by value."""

SPARSE = 4
"""Negative scores per positive one from which on most negatives have no positive near them, and need no ordering."""

SAMPLED = 17
"""One score in so many tells how large groups will be. It does not divide the width of a tile, or the sample would be
of the same columns in each row."""


class Positives(NamedTuple):
    """Scores of pairs of one class."""

    keys: np.ndarray
    """As `score_keys` makes them."""
    classes: np.ndarray
    """Number of the class of each, from 0."""


Each = Callable[..., Iterator[Any]]
"""`map`, or that of a pool of threads."""


@contextmanager
def mapping() -> Iterator[Each]:
    """Over as many threads as torch has: numpy orders and gathers without the interpreter's lock."""
    n = torch.get_num_threads()
    if n == 1:
        yield map
    else:
        with ThreadPoolExecutor(n) as pool:
            yield pool.map


def twice_wins(
    positive: list[Positives], negative: list[np.ndarray], n_classes: int, each: Each = map, *, below: int = 0
) -> np.ndarray:
    """Twice the number of pairs (positive score, negative score) in which the positive is higher, ties half, by class.

    Memory beside the scores is that of a group in each thread.

    Args:
        positive: at most 2^29 scores in pieces of any length; reordered in place.
        negative: keys of at most 2^29 scores likewise.
        n_classes: length of the result.
        each: maps over pieces and groups; see `mapping`.
        below: further negative scores, which every positive one beats.
    """
    n_positive, n_negative = sum(len(piece.keys) for piece in positive), sum(map(len, negative))
    if not n_positive:
        return np.zeros(n_classes, np.int64)
    if not n_negative:
        return 2 * below * _class_counts(positive, n_classes)
    size = n_positive + n_negative
    if size <= JOINED:
        classes = np.concatenate([piece.classes for piece in positive])
        keys = np.concatenate([*(piece.keys for piece in positive), *negative])
        positive, negative = [Positives(keys[:n_positive], classes)], [keys[n_positive:]]
    every = [keys] if size <= JOINED else [*(piece.keys for piece in positive), *negative]
    low, high = (extreme([extreme(keys) for keys in every if len(keys)]) for extreme in (np.min, np.max))
    span = int(high) - int(low) + 1
    if span == 1:
        return (2 * below + n_negative) * _class_counts(positive, n_classes)
    dense = span <= DENSE * size
    if size > (JOINED if dense else LARGE):
        shift = max(span.bit_length() - DIGIT, 0)
        return _by_group(positive, negative, n_classes, each, low=low, shift=shift, below=below)
    if not dense and SPARSE * n_positive <= n_negative and (sifted := _sifted(keys, n_positive, low, high)) is not None:
        lower, negative = sifted
        counted = _by_class(classes, 2 * (lower + below), n_classes)
        counted += twice_wins(positive, negative, n_classes)
        return counted
    keys -= low
    twice, order = (_counted if dense else _ordered)(keys, n_positive)
    return _by_class(classes.take(order), twice + 2 * below, n_classes)


def _by_class(classes: np.ndarray, twice: np.ndarray, n_classes: int) -> np.ndarray:
    """Sums of whole numbers by class. Exact: up to 2^22 add less than 2^31 each."""
    sums: np.ndarray = np.bincount(classes, weights=twice, minlength=n_classes)
    return sums.astype(np.int64)


def _class_counts(positive: list[Positives], n_classes: int) -> np.ndarray:
    counts = np.zeros(n_classes, np.int64)
    for piece in positive:
        counts += np.bincount(piece.classes, minlength=n_classes)
    return counts


def _sifted(
    keys: np.ndarray, n_positive: int, low: np.unsignedinteger, high: np.unsignedinteger
) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """Negative scores are counted in bins, as wide as each other, and only those in a bin with a positive are kept.

    Returns:
        Of each positive score, how many of the others it beats; and those kept, unless these are most.
    """
    scores = key_scores(keys)
    first, last = key_scores(np.array([low, high]))
    bins = 2 ** len(keys).bit_length()
    with np.errstate(over="ignore", invalid="ignore"):
        scale = (bins - 1) / (last - first)
        if not 0 < scale < np.inf:
            return None
        scores -= first
    scores *= scale
    place = scores.astype(np.int64)
    own, others = place[:n_positive], place[n_positive:]
    taken = np.zeros(bins, np.bool)
    taken[own] = True
    counts = np.bincount(others, minlength=bins)
    kept = np.flatnonzero(taken.take(others))
    if 2 * len(kept) > len(others):
        return None
    counts[taken] = 0
    return counts.cumsum().take(own), [keys[n_positive:].take(kept)]


def _counted(keys: np.ndarray, n_positive: int) -> tuple[np.ndarray, np.ndarray]:
    """Twice the wins of the first `n_positive` keys over the others, and which of them each is of; dense from 0."""
    index = keys.astype(np.int64)
    positive = index[:n_positive]
    counts = np.bincount(index[n_positive:], minlength=int(positive.max()) + 1)
    return 2 * counts.cumsum().take(positive) - counts.take(positive), np.arange(n_positive)


def _ordered(keys: np.ndarray, n_positive: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of keys that need not be dense."""
    order = radix_order(keys)
    places = np.flatnonzero(order < n_positive)
    own = order.take(places)
    scores = keys.take(own)
    below = places - np.arange(n_positive)  # of equal scores the positive ones come first
    twice = 2 * below
    tied = np.flatnonzero(keys.take(order.take(places + 1, mode="clip")) == scores)  # with what comes next: few
    if len(tied):
        needles = scores.take(tied)
        up_to = keys.take(order).searchsorted(needles, "right") - scores.searchsorted(needles, "right")
        twice[tied] += up_to - below.take(tied)
    return twice, own


def _by_group(
    positive: list[Positives],
    negative: list[np.ndarray],
    n_classes: int,
    each: Each,
    *,
    low: np.unsignedinteger,
    shift: int,
    below: int,
) -> np.ndarray:
    """`twice_wins` group by group: a positive score beats all negative ones of the groups below its own."""
    above, beneath = _pieces(positive), _pieces([(keys,) for keys in negative])
    group_of = _groups(np.concatenate([piece[0][::SAMPLED] for piece in (*above, *beneath)]), low, shift)
    numbers = np.arange(group_of[-1] + 1)

    def send(piece: tuple[np.ndarray, ...]) -> list[int]:
        """Order a piece by group; where each group begins, and the end."""
        groups = group_of.take(((piece[0] - low) >> shift).astype(np.intp))
        order = groups.argsort(kind="stable")
        for array in piece:
            array[:] = array.take(order)
        return [0, *groups.take(order).searchsorted(numbers.astype(np.uint8), "right").tolist()]

    above_ends, beneath_ends = list(each(send, above)), list(each(send, beneath))
    lower = np.append(0, np.diff(beneath_ends).sum(axis=0).cumsum()).tolist()

    def wins(group: int) -> np.ndarray:
        own = [
            Positives(*(array[ends[group] : ends[group + 1]] for array in piece))
            for piece, ends in zip(above, above_ends, strict=True)
        ]
        met = [keys[ends[group] : ends[group + 1]] for (keys,), ends in zip(beneath, beneath_ends, strict=True)]
        return twice_wins(own, met, n_classes, below=below + lower[group])

    total: np.ndarray = sum(each(wins, numbers.tolist()), np.zeros(n_classes, np.int64))
    return total


def _pieces(arrays: list[Any]) -> list[Any]:
    """What is sent to groups at a time."""
    return [
        tuple(array[start : start + LARGE] for array in of_one)
        for of_one in arrays
        for start in range(0, len(of_one[0]), LARGE)
    ]


def _groups(sample: np.ndarray, low: np.unsignedinteger, shift: int) -> np.ndarray:
    """Number of the group by upper bits, ascending. Bits that are a group's worth by themselves are one."""
    counts = np.bincount(((sample - low) >> shift).astype(np.intp), minlength=2**DIGIT)
    ends = counts.cumsum()
    most = max(GROUP // SAMPLED, -(-2 * len(sample) // (MOST_GROUPS - 1)))
    # Of bits between two multiples of `most` the two terms agree; those that cross one have a sum of their own.
    numbers: np.ndarray = (ends - counts) // most + ends // most
    return numbers.astype(np.uint8)
