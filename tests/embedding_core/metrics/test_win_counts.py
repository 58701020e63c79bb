"""Wins against a count of every pair, whatever way the scores go; and what is never sorted."""

import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedding_core.metrics import win_counts
from embedding_core.metrics.score_keys import key_scores, score_keys
from embedding_core.metrics.verification import verification_auc
from embedding_core.metrics.win_counts import Positives, mapping, twice_wins

SMALL = {"GROUP": 8, "LARGE": 16, "JOINED": 64, "SAMPLED": 1}
"""Sizes at which a few hundred scores are sent to groups, and groups to groups again."""


def of_kind(kind: str, n: int, draw: np.random.Generator) -> np.ndarray:
    """Scores as they come: spread out, few values, nearly equal, or of every size that a float has."""
    match kind:
        case "spread":
            return draw.normal(0.1, 0.2, n)
        case "tied":
            return draw.integers(-2, 3, n) / 4
        case "near":
            return 0.999 + 1e-7 * draw.random(n)
        case "zeros":
            return draw.choice([0.0, -0.0, 1e-30, -1e-30], n)
        case "outlier":
            return np.append(draw.normal(0, 1e-6, n - 1), draw.choice([-1.0, 1.0]))
    return np.ldexp(draw.normal(size=n), draw.integers(-120, 120, n))


def naive(positive: np.ndarray, classes: np.ndarray, negative: np.ndarray, n_classes: int) -> list[int]:
    twice = [2 * int((score > negative).sum()) + int((score == negative).sum()) for score in positive]
    return [sum(t for t, c in zip(twice, classes, strict=True) if c == own) for own in range(n_classes)]


def cut(arrays: tuple[np.ndarray, ...], draw: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
    """The same in pieces, some of them empty."""
    at = np.sort(draw.integers(0, len(arrays[0]) + 1, 6))
    return list(zip(*(np.split(array, at) for array in arrays), strict=True))


@given(
    kinds=st.tuples(*2 * [st.sampled_from(["spread", "tied", "near", "zeros", "outlier", "any size"])]),
    sizes=st.tuples(st.sampled_from([1, 20, 300]), st.integers(1, 300)),  # few or as many: the rest is only counted
    dtype=st.sampled_from([np.float32, np.float64]),
    small=st.booleans(),
    dense=st.sampled_from([0, 4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_wins_are_those_of_every_pair(
    kinds: tuple[str, str], sizes: tuple[int, int], dtype: type, small: bool, dense: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    positive, negative = (of_kind(kind, n, draw).astype(dtype) for kind, n in zip(kinds, sizes, strict=True))
    classes = draw.integers(0, 3, len(positive)).astype(np.int32)
    expected = naive(positive, classes, negative, 4)
    pieces = [Positives(*piece) for piece in cut((score_keys(positive), classes), draw)]
    others = [piece for (piece,) in cut((score_keys(negative),), draw)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({"DENSE": dense} | (SMALL if small else {})).items():
            patch.setattr(win_counts, name, value)
        for _ in range(2):  # reordered in place, they count as before
            assert twice_wins(pieces, others, 4).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_at_its_true_sizes_too(dtype: type, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million scores, of which a third is nearly one value and a third is one."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    draw = np.random.default_rng(0)
    scores = np.concatenate([draw.normal(0, 0.3, 200_000), 0.5 + 1e-6 * draw.random(200_000), np.full(200_000, 0.25)])
    scores = draw.permutation(scores.astype(dtype))
    positive, negative = np.split(scores, [150_000])
    classes = np.arange(len(positive), dtype=np.int32) % 2
    ordered = np.sort(negative)
    twice = ordered.searchsorted(positive) + ordered.searchsorted(positive, "right")
    with mapping() as each:
        found = twice_wins([Positives(score_keys(positive), classes)], [score_keys(negative)], 2, each)
    assert found.tolist() == [int(twice[own::2].sum()) for own in range(2)]


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=50))
def test_keys_are_in_the_order_of_the_scores(values: list[float]) -> None:
    for dtype in (np.float32, np.float64):
        scores = np.array(values, dtype)
        keys = score_keys(scores)
        assert np.array_equal(keys[:, None] < keys, scores[:, None] < scores)
        assert np.array_equal(keys[:, None] == keys, scores[:, None] == scores)
        assert np.array_equal(key_scores(keys), scores)


def test_without_a_score_of_one_kind_nothing_wins() -> None:
    keys, classes = score_keys(np.ones(3, np.float32)), np.zeros(3, np.int32)
    assert twice_wins([Positives(keys, classes)], [], 2).tolist() == [0, 0]
    assert twice_wins([], [keys], 2).tolist() == [0, 0]


def test_no_scores_are_sorted_but_by_radix() -> None:
    """How fast numpy sorts floats and wide integers depends on the processor; of 16 bits its stable sort is a radix
    sort, on all of them."""
    n, sorted_arrays = 1200, []

    def watch(_: FrameType, event: str, called: Any) -> None:
        owner = getattr(called, "__self__", None)
        if event == "c_call" and called.__name__ in ("sort", "argsort", "partition", "argpartition", "lexsort", "topk"):
            sorted_arrays.append(owner)

    z = torch.randn(n, 16, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # other threads would not be watched
    sys.setprofile(watch)
    try:
        verification_auc(z, torch.arange(n) % 10)
    finally:
        sys.setprofile(None)
        torch.set_num_threads(before)
    scores = [array for array in sorted_arrays if isinstance(array, np.ndarray) and len(array) > n]
    assert sum(map(len, scores)) > n * (n - 1) // 2  # they were seen
    assert {array.dtype.itemsize for array in scores} <= {1, 2}
    assert all(len(owner) <= n for owner in sorted_arrays if isinstance(owner, torch.Tensor))
