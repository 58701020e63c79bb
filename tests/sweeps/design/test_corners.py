"""Corners of a design: all of them while there are few, enough of them where there are not."""

from collections import Counter
from itertools import combinations, product

from sweeps.design.corners import MOST, corners

MANY = [(0, 1)] * 12 + [("a", "b", "c")] * 3 + [(0.1, 0.2, 0.3, 0.4)]


def test_few_are_all_of_them_in_the_order_of_a_product() -> None:
    ends = [(0, 1), ("a", "b", "c"), (True,)]
    assert list(corners(ends)) == list(product(*ends))


def test_many_are_bounded_repeated_and_balanced() -> None:
    found = list(corners(MANY))
    assert len(found) == MOST
    assert found == list(corners(MANY))
    assert found[0] == tuple(ends[0] for ends in MANY)
    for ends, column in zip(MANY, zip(*found, strict=True), strict=True):
        counts = Counter(column)
        assert set(counts) == set(ends)
        assert max(counts.values()) - min(counts.values()) <= 2


def test_any_three_ends_of_many_meet() -> None:
    """A rule that joins three fields is met, whichever of their values break it."""
    found = list(corners(MANY))
    for three in combinations(range(len(MANY)), 3):
        met = {tuple(corner[place] for place in three) for corner in found}
        assert met == set(product(*(MANY[place] for place in three)))
