"""Scores as integers of the same order, and a sort of those that takes the same time on every processor."""

from typing import Any

import numpy as np

DIGIT = 16
"""Bits that a pass of the radix sort orders by: of integers of this width, numpy's stable sort is one."""

_KINDS: dict[int, tuple[Any, Any, Any]] = {
    4: (np.int32, np.uint32, np.float32),
    8: (np.int64, np.uint64, np.float64),
}
"""By bytes."""


def score_keys(scores: np.ndarray) -> np.ndarray:
    """float32 or float64 scores as uint32 or uint64 of the same order and ties; the two zeros are one."""
    signed, unsigned, _ = _KINDS[scores.dtype.itemsize]
    bits: np.ndarray = (scores + scores.dtype.type(0)).view(signed)  # -0. + 0. is 0.
    flip = bits >> (8 * bits.itemsize - 1)  # every bit of a negative number, which counts downwards
    flip |= np.iinfo(signed).min
    bits ^= flip
    return bits.view(unsigned)


def key_scores(keys: np.ndarray) -> np.ndarray:
    """The scores that `score_keys` made these of."""
    signed, _, kind = _KINDS[keys.dtype.itemsize]
    bits: np.ndarray = keys.view(signed)
    flip = ~(bits >> (8 * bits.itemsize - 1))
    flip |= np.iinfo(signed).min
    flip ^= bits
    return flip.view(kind)


def radix_order(keys: np.ndarray) -> np.ndarray:
    """Places of unsigned integers in ascending order, equal ones as they stand: a digit at a time from the lowest."""
    order = keys.astype(np.uint16).argsort(kind="stable")
    bits = int(keys.max()).bit_length()
    for shift in range(DIGIT, bits, DIGIT):
        digits = (keys >> shift).astype(np.uint8 if bits - shift <= 8 else np.uint16)
        order = order.take(digits.take(order).argsort(kind="stable"))
    return order
