"""Times as people say them."""

import pytest

from sweeps.results.durations import time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45.4, "45 s"), (179, "179 s"), (180, "3 min"), (3569, "59 min"), (3575, "1 h"),
     (7500, "2 h 5 min"), (4491.5 * 60, "74 h 52 min")],
)  # fmt: skip
def test_time_is_told_in_hours_and_minutes(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
