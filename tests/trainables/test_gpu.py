"""Trials that share a GPU's memory fit on it, with what each process takes beside."""

import pytest

from trainables.gpu import CONTEXT_BYTES, LEAST_FRACTION, memory_fraction

GIB = 2**30


@pytest.mark.parametrize("total", [8 * GIB, 24 * GIB, 80 * GIB])
@pytest.mark.parametrize("gpu_share", [0.5, 1 / 3, 0.25, 0.2])
def test_as_many_as_share_a_gpu_fit_on_it_with_their_contexts(total: int, gpu_share: float) -> None:
    number = int(1 / gpu_share + 1e-9)
    fraction = memory_fraction(gpu_share, total=total, in_use=CONTEXT_BYTES)
    assert number * (fraction * total + CONTEXT_BYTES) <= total * (1 + 1e-9)
    assert number * (fraction * total + CONTEXT_BYTES) > 0.95 * number * gpu_share * total, "and no less than there is"


def test_what_others_hold_is_not_shared_out() -> None:
    """Three others could hold 6 of the 7 GiB: one is somebody else's."""
    alone = memory_fraction(0.25, total=8 * GIB, in_use=CONTEXT_BYTES)
    beside = memory_fraction(0.25, total=8 * GIB, in_use=CONTEXT_BYTES + 7 * GIB)
    assert beside == pytest.approx((0.25 * 7 * GIB - CONTEXT_BYTES) / (8 * GIB))
    assert beside < alone


def test_a_share_that_a_context_fills_is_as_good_as_none_and_no_error() -> None:
    assert memory_fraction(0.05, total=8 * GIB, in_use=CONTEXT_BYTES) == LEAST_FRACTION
