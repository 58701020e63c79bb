"""Numbers as text: digits, signs, and what stands where there is none."""

import math
import re

import pytest

from sweeps.analysis import numbers
from sweeps.analysis.numbers import ABSENT, decimals_of, mean_text, number, or_absent, p_text, percent, sesoi_text
from sweeps.analysis.stats.intervals.effects import Effect, Interval


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


def test_without_a_standard_error_digits_keep_the_smallest_number_from_reading_as_zero() -> None:
    tiny = Interval(0.00012, -0.00003, 0.0004, 8)
    assert numbers.interval(tiny) == "+.00012 [-.00003, +.00040]"
    assert numbers.ends(tiny) == "-.00003 to +.00040"
    assert numbers.estimate_texts(tiny) == ["+.00012", "-.00003 to +.00040"]


@pytest.mark.parametrize(
    ("error", "digits"),
    [(0.0023, 4), (0.0227, 3), (0.00996, 3), (0.00994, 4), (0.31, 2), (12.0, 2), (0.000021, 6), (3e-9, 6)],
)
def test_two_digits_of_the_standard_error_in_every_form(error: float, digits: int) -> None:
    found = Interval(0.5, 0.5 - 2.3 * error, 0.5 + 2.3 * error, 8, error)
    assert numbers.decimals_for(found) == digits
    texts = [numbers.interval(found), numbers.ends(found), *numbers.estimate_texts(found)]
    assert {len(n.partition(".")[2]) for text in texts for n in re.findall(r"\d*\.\d+", text)} == {digits}


@pytest.mark.parametrize("error", [0.0, 1e-17, math.nan, math.inf])
def test_an_impossible_standard_error_makes_no_absurd_digits(error: float) -> None:
    assert numbers.interval(Interval(0.5, 0.5, 0.5, 8, error)) == "+.500 [+.500, +.500]"
    assert numbers.interval(Interval(0.0, 0.0, 0.0, 8, error)) == ".000 [.000, .000]"


def test_what_rounds_to_nothing_stays_short() -> None:
    nothing = Interval(2e-9, 1e-9, 3e-9, 8, 4e-10)
    assert numbers.vanishes(nothing)
    assert numbers.interval(nothing) == ".000000 [.000000, .000000]"
    assert not numbers.vanishes(Interval(2e-9, 1e-9, 3e-3, 8, 1e-3))


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0000421, 0.0099579, "+.00500 [+.00004, +.00996]"),  # .0000 would read as a tie with 0
        (-0.0099579, -0.0000421, "-.00500 [-.00996, -.00004]"),
        (0.0030021, 0.0129579, "+.007980 [+.003002, +.012958]"),  # .0030 would read as a tie with the SESOI
        (0.0, 0.01, "+.0050 [.0000, +.0100]"),
    ],
)
def test_an_end_is_never_printed_as_the_landmark_beside_it(low: float, high: float, text: str) -> None:
    effect = Effect((low + high) / 2, low, high, 0.05, 8, False, "unsettled", standard_error=0.0021)
    assert numbers.interval(effect) == text


def test_whole_numbers_have_no_point() -> None:
    assert [number(value, decimals=0, signed=True) for value in (0.2, 20.0, -100.0)] == ["0", "+20", "-100"]


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
    assert [sesoi_text(x) for x in (0.003, 0.0025, 0.01, 0.1, 1.0, 2.5)] == [".003", ".0025", ".01", ".1", "1", "2.5"]
