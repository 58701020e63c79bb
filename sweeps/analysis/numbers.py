"""Numbers as text: the digits of sentences, tables and figures, and what stands where there is no number."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import ArrayLike

ABSENT: Final = "–"
"""In a table, for what was not measured or does not apply."""


LEAST_DECIMALS: Final = 2
MOST_DECIMALS: Final = 6
"""Of what a standard error asks for."""

DISTINCT_DECIMALS: Final = 12
"""As far as digits go to keep an end of an interval on its side of a landmark."""

ROUNDING: Final = 1e-12
"""Standard errors and distances below come from the arithmetic alone."""


class Estimated(Protocol):
    """A number with the ends of its interval, whatever else is known of it."""

    @property
    def estimate(self) -> float:
        """The number."""

    @property
    def ci_low(self) -> float:
        """Lower end."""

    @property
    def ci_high(self) -> float:
        """Upper end."""

    @property
    def standard_error(self) -> float:
        """Of the number; 0 where it is not known."""

    @property
    def landmarks(self) -> tuple[float, ...]:
        """Values that the printed ends must stay on their side of: 0, the SESOI."""


def is_number(value: float | None) -> bool:
    """Whether a measured value is there and finite."""
    return value is not None and math.isfinite(value)


def number(value: float, *, decimals: int = 3, signed: bool = False) -> str:
    """`value` without a leading zero: .021, -.004, +.002, 1.500.

    Args:
        value: finite.
        decimals: digits after the point.
        signed: put + before a positive value.
    """
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    head, _, tail = text.partition(".")
    return f"{head.removesuffix('0')}.{tail}" if tail and head.lstrip("+-") == "0" else text


def four(value: float) -> str:
    """With four digits after the point: means of outcomes."""
    return number(value, decimals=4)


def percent(value: float, *, decimals: int = 0, signed: bool = False) -> str:
    """A share in percent: `40%`, `+2.5%`."""
    return f"{value:+.{decimals}%}" if signed else f"{value:.{decimals}%}"


def plain(value: Any) -> str:
    """A setting as text: four digits that count of a float, all else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def setting(value: Any) -> str:
    """A tuned setting as text: three digits that count of a float, and at least three after the point."""
    if not isinstance(value, float):
        return str(value)
    return number(value, decimals=next((d for d in range(3, 7) if abs(value) >= 10.0 ** (2 - d)), 7))


def p_text(p_value: float) -> str:
    """A p-value with three digits: `.125`, `<.001`."""
    return "<.001" if p_value < 0.001 else number(p_value)


def sesoi_text(sesoi: float) -> str:
    """The SESOI as people write it: .003, .01, .0025, 2."""
    text = f"{sesoi:.12f}".rstrip("0").removesuffix(".")
    return text.removeprefix("0") if float(text) else f"{sesoi:g}"


def or_absent(value: Any, write: Callable[[Any], str] = number) -> str:
    """What `write` makes of the value; `ABSENT` for None."""
    return ABSENT if value is None else write(value)


def mean_text(values: Iterable[float | None]) -> str:
    """Mean of the values that are there and finite, with four digits; `ABSENT` without any."""
    known = [value for value in values if is_number(value)]
    return four(float(np.mean(known))) if known else ABSENT  # type: ignore[arg-type]


def decimals_of(*values: float) -> int:
    """Digits after the point that keep every value but 0 from reading as zero: 3, at most 6."""
    smallest = min((abs(value) for value in values if value != 0), default=1.0)
    return next((d for d in range(3, 6) if smallest >= 0.5 * 10**-d), 6)


def noise_texts(values: ArrayLike) -> tuple[str, str]:
    """Root mean square and largest size of differences that are zero in truth, with the same digits.

    About zero: a deviation about the mean would hide a bias.
    """
    array = np.asarray(values, dtype=np.float64)
    deviation, largest = float(np.sqrt(np.mean(np.square(array)))), float(np.abs(array).max())
    digits = decimals_of(deviation, largest)
    return number(deviation, decimals=digits), number(largest, decimals=digits)


def decimals_for(found: Estimated) -> int:
    """Digits after the point of an estimate and its interval: two that count of its standard error, within 2 to 6.

    More where an end would else be printed as a landmark or beyond it, so that no sentence contradicts its interval.
    Without a standard error, or with one of rounding alone, `decimals_of` the three numbers.
    """
    shown = (found.estimate, found.ci_low, found.ci_high)
    error = found.standard_error
    decimals = two_digits_of(error) if error > ROUNDING and math.isfinite(error) else decimals_of(*shown)
    if vanishes(found):
        return decimals
    ends = [(end, mark) for end in shown[1:] for mark in found.landmarks]
    for more in range(decimals, DISTINCT_DECIMALS + 1):
        if all(_on_its_side(end, mark, more) for end, mark in ends):
            return more
    return decimals


def two_digits_of(error: float) -> int:
    """Digits after the point that show two significant ones of a standard error > 0: 2 to 6."""
    exponent = int(f"{error:.1e}".partition("e")[2])
    return min(MOST_DECIMALS, max(LEAST_DECIMALS, 1 - exponent))


def vanishes(found: Estimated) -> bool:
    """Whether estimate and interval read as zero even with the most digits, while what matters does not."""
    unit = 0.5 * 10**-MOST_DECIMALS
    largest = max(abs(found.estimate), abs(found.ci_low), abs(found.ci_high))
    return largest < unit < min((abs(mark) for mark in found.landmarks if mark), default=math.inf)


def _on_its_side(value: float, mark: float, decimals: int) -> bool:
    """Whether the printed value is above, below or at the landmark as the value itself is."""
    if not math.isfinite(value) or abs(value - mark) < ROUNDING:
        return True
    printed = float(f"{value:.{decimals}f}")
    return printed > mark if value > mark else printed < mark


def interval(found: Estimated) -> str:
    """Estimate and signed 95 % interval: `-.004 [-.011, +.002]`."""
    decimals = decimals_for(found)
    estimate, low, high = (
        number(x, decimals=decimals, signed=True) for x in (found.estimate, found.ci_low, found.ci_high)
    )
    return f"{estimate} [{low}, {high}]"


def ends(found: Estimated) -> str:
    """The interval alone: `-.011 to +.002`."""
    low, high = (number(x, decimals=decimals_for(found), signed=True) for x in (found.ci_low, found.ci_high))
    return f"{low} to {high}"


def estimate_texts(found: Estimated) -> list[str]:
    """Estimate and interval, as two cells of a table."""
    return [number(found.estimate, decimals=decimals_for(found), signed=True), ends(found)]
