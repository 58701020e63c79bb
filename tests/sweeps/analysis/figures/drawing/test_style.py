import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing.style import DASHES, arm_style, dash_of, inline_svg, short, svg_of, titled
from sweeps.analysis.figures.paired import draw_paired, paired_data
from sweeps.analysis.stats.reading.contrasts import cell_runs
from sweeps.analysis.stats.reading.stored_plan import Contrast
from tests.sweeps.analysis.svg_texts import texts

Make = Callable[..., Any]
CONTRAST = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")


def test_names_are_escaped_and_ids_are_told_apart(make_confirm: Make) -> None:
    runs = cell_runs(make_confirm().trials, CONTRAST)
    svg = svg_of(
        draw_paired(paired_data(runs, runs.effect(), CONTRAST, looks={}, dataset="<b>$x_{$ &", origin="drop-in"))
    )
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


def test_hue_is_koleo_and_line_style_is_accumulation() -> None:
    any_class, other = ("koleo=on,koleo_exclude_same_class=" + level for level in ("off", "on"))
    cells = ["koleo=off", *(f"{koleo},accum_steps={k}" for koleo in (any_class, other) for k in (1, 4, 16))]
    looks = arm_style([*cells, f"{other},accum_steps=4,accum_mode=cached"])
    hues = {cell: looks[cell][0] for cell in looks}
    assert len(set(hues.values())) == 3
    assert hues[f"{other},accum_steps=4,accum_mode=cached"] == hues[cells[-1]] != hues[cells[1]]
    for k, dash in ((1, "-"), (4, "--"), (16, "-.")):  # cached at 4 is the third
        own = [f"{koleo},accum_steps={k}" for koleo in (any_class, other)]
        assert {dash_of(looks, cell) for cell in own} == {dash}
        assert len({looks[cell][1] for cell in own}) == 1


def test_each_mark_of_an_artist_tells_its_own_values() -> None:
    figure = Figure()
    (line,) = figure.add_subplot().plot([1, 2, 3], [3, 1, 2], "o")
    titled(line, "t1: <.5>", "t2", "t3")
    svg = svg_of(figure)
    marks = [node for node in ET.fromstring(svg).iter() if node.tag.endswith("use") and len(node)]
    assert [mark[0].text for mark in marks] == ["t1: <.5>", "t2", "t3"]


@pytest.mark.parametrize(
    ("name", "length", "expected"), [("abc", 3, "abc"), ("abcdef", 5, "ab…ef"), ("abcdef", 4, "ab…f")]
)
def test_short_names_keep_both_ends(name: str, length: int, expected: str) -> None:
    assert short(name, length) == expected
