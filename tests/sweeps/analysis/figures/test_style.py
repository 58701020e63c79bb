import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from sweeps.analysis.figures.paired import draw_paired, paired_data
from sweeps.analysis.figures.style import DASHES, arm_style, dash_of, inline_svg, short, svg_of
from sweeps.analysis.stats.reading.contrasts import cell_runs
from sweeps.analysis.stats.reading.stored_plan import Contrast
from tests.sweeps.analysis.svg_texts import texts

Make = Callable[..., Any]
CONTRAST = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")


def test_names_are_escaped_and_ids_are_told_apart(make_confirm: Make) -> None:
    runs = cell_runs(make_confirm().trials, CONTRAST)
    svg = svg_of(draw_paired(paired_data(runs, runs.effect(), CONTRAST, dataset="<b>$x_{$ &", origin="drop-in")))
    assert "<b>$x_{$ &" in texts(svg)
    one = inline_svg(svg, name="one", label='a "b" <c> & d')
    ids = {node.get("id") for node in ET.fromstring(one).iter() if node.get("id")}
    assert ids
    assert all(name.startswith("one-") for name in ids)
    used = {node.get("href", "#one-")[1:] for node in ET.fromstring(one).iter()}
    assert all(name.startswith("one-") for name in used)
    assert "http" not in one


def test_lines_of_one_colour_differ_in_marker_and_dash() -> None:
    looks = arm_style(f"cell {i:02}" for i in range(12))
    assert len({(*looks[name], dash_of(looks, name)) for name in looks}) == 12
    for name, other in zip(list(looks)[:6], list(looks)[6:], strict=True):
        assert looks[name][0] == looks[other][0]
        assert looks[name][1] != looks[other][1]
        assert (dash_of(looks, name), dash_of(looks, other)) == DASHES[:2]


@pytest.mark.parametrize(
    ("name", "length", "expected"), [("abc", 3, "abc"), ("abcdef", 5, "ab…ef"), ("abcdef", 4, "ab…f")]
)
def test_short_names_keep_both_ends(name: str, length: int, expected: str) -> None:
    assert short(name, length) == expected
