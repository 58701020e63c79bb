"""Ends of ranges and levels, crossed: what must be valid before any trial starts."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from random import Random
from typing import Final, TypeVar

_Value = TypeVar("_Value")

MOST: Final = 2048
"""Corners that are looked at; of 16 factors with two ends each there are 65,536."""


def corners(ends: Sequence[Sequence[_Value]]) -> Iterator[tuple[_Value, ...]]:
    """Every combination of one end of each; of more than `MOST`, as many that stand for all.

    Those are the same whenever they are asked for, each end is in equally many (give or take one), and three ends that
    rule each other out, of factors with two to four each, are missed with a probability below 1e-6.

    Args:
        ends: of each factor, one or more.
    """
    if prod(map(len, ends)) <= MOST:
        yield from product(*ends)
        return
    yield tuple(values[0] for values in ends)
    draw = Random(0)
    columns = [draw.sample([values[n % len(values)] for n in range(1, MOST)], MOST - 1) for values in ends]
    yield from zip(*columns, strict=True)
