"""Numbers as text: digits, signs, and what stands where there is none."""

import math

import pytest

from sweeps.analysis import numbers
from sweeps.analysis.numbers import ABSENT, decimals_of, mean_text, number, or_absent, p_text, percent, sesoi_text
from sweeps.analysis.stats.effects import Interval


def test_numbers() -> None:
    assert [number(x) for x in (0.0213, -0.0213, 1.5, 0.0, -0.0001, 10.25)] == [
        ".021",
        "-.021",
        "1.500",
        ".000",
        ".000",
        "10.250",
    ]
    assert [number(x, signed=True) for x in (0.002, -0.002)] == ["+.002", "-.002"]
    assert [p_text(x) for x in (0.125, 0.0004, 1.0)] == [".125", "<.001", "1.000"]


def test_what_is_absent_is_a_dash_and_zero_is_a_number() -> None:
    assert [or_absent(x) for x in (None, 0.0, 0.0213)] == [ABSENT, ".000", ".021"]
    assert or_absent(0.5, percent) == "50%"
    assert mean_text([0.5, None, math.nan, 0.6]) == ".5500"
    assert mean_text(iter([None])) == ABSENT


@pytest.mark.parametrize(
    ("values", "digits"),
    [((), 3), ((0.0,), 3), ((1.5, 20.0), 3), ((0.02, 0.0005), 3), ((0.02, 0.0004), 4), ((1e-9,), 6)],
)
def test_digits_keep_small_numbers_from_reading_as_zero(values: tuple[float, ...], digits: int) -> None:
    assert decimals_of(*values) == digits


def test_an_interval_has_the_digits_of_its_smallest_number_in_every_form() -> None:
    tiny = Interval(0.00012, -0.00003, 0.0004, 8)
    assert numbers.interval(tiny) == "+.00012 [-.00003, +.00040]"
    assert numbers.ends(tiny) == "-.00003 to +.00040"
    assert numbers.estimate_texts(tiny) == ["+.00012", "-.00003 to +.00040"]


def test_settings_and_shares() -> None:
    assert [numbers.setting(x) for x in (0.00123, 0.41, 0.00021, 64, "adam", True)] == [
        ".00123",
        ".410",
        ".000210",
        "64",
        "adam",
        "True",
    ]
    assert [numbers.plain(x) for x in (0.0014, 23750, None, "sgd")] == ["0.0014", "23750", "None", "sgd"]
    assert [percent(0.404), percent(0.0251, decimals=1, signed=True)] == ["40%", "+2.5%"]
    assert [sesoi_text(x) for x in (0.003, 0.0025, 0.01)] == [".003", ".0025", ".010"]
