from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures.paired import SIDES_READING, paired_data, reading
from sweeps.analysis.stats.contrasts import contrast_effect
from sweeps.analysis.stats.stored_plan import Contrast

Make = Callable[..., Any]
CONTRAST = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")


def test_paired_data(make_confirm: Make) -> None:
    effect, blocks = contrast_effect(make_confirm().trials, CONTRAST)
    data = paired_data(blocks, effect, CONTRAST, dataset="digits", note="drop-in")
    assert np.mean(data.differences) == pytest.approx(data.effect.estimate)
    assert np.subtract(data.treatment, data.control).tolist() == list(data.differences)
    assert data.caption == "n = 7 blocks; digits; stage confirm; drop-in"
    assert SIDES_READING not in reading(data)
    assert SIDES_READING in reading(replace(data, cells=4))
