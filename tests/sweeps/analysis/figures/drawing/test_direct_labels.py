"""Names beside lines: each at its line, none over another, and a legend where they would not fit."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Annotation

from sweeps.analysis.figures.drawing.canvas import canvas, log_ticks
from sweeps.analysis.figures.drawing.direct_labels import LineEnd, name_ends
from sweeps.analysis.figures.drawing.style import COLOURS, svg_of

HEIGHT_IN = 3.2


def drawn(ends: list[LineEnd]) -> tuple[bool, list[tuple[float, float]], list[float]]:
    """Whether the names were drawn; bottom and top of each, and where its line ends, as shares of the axes' height."""
    figure, (axes,) = canvas("Title", "caption", height=HEIGHT_IN)
    axes.set_ylim(0, 1)
    fitted = name_ends((axes, ends))
    svg_of(figure)  # lays out
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    to_axes = axes.transAxes.inverted()
    # A label's own box, without its leader.
    boxes = [to_axes.transform_bbox(super(Annotation, name).get_window_extent()) for name in names]
    return fitted, [(box.y0, box.y1) for box in boxes], [end.y for end in ends]


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_names_stand_apart_in_the_order_of_their_lines_and_within_the_plot(heights: list[float]) -> None:
    fitted, boxes, _ = drawn([LineEnd(f"line {i}", y, COLOURS[i]) for i, y in enumerate(heights)])
    assert fitted
    assert len(boxes) == len(heights)
    upwards = [boxes[i] for i in sorted(range(len(heights)), key=heights.__getitem__)]
    assert all(low[1] <= high[0] + 1e-6 for low, high in itertools.pairwise(upwards))
    assert upwards[0][0] >= -0.02
    assert upwards[-1][1] <= 1.02


def test_names_of_lines_far_apart_stand_at_their_ends_and_those_of_one_end_around_it() -> None:
    _, boxes, ends = drawn([LineEnd("low", 0.2, "blue"), LineEnd("high", 0.8, "red")])
    assert [sum(box) / 2 for box in boxes] == pytest.approx(ends, abs=0.02)
    _, boxes, _ = drawn([LineEnd(name, 0.5, name) for name in ("red", "green", "blue")])
    centres = [sum(box) / 2 for box in boxes]
    assert sum(centres) / 3 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([f"line {i}" for i in range(30)], id="too many"),
        pytest.param(["a", "x" * 40], id="too wide to break"),
        pytest.param([], id="none"),
        pytest.param([" "], id="blank"),
    ],
)
def test_what_does_not_fit_is_left_to_a_legend(names: list[str]) -> None:
    fitted, boxes, _ = drawn([LineEnd(name, 0.5, str(i)) for i, name in enumerate(names)])
    assert not fitted
    assert boxes == []


@pytest.mark.parametrize("y", [math.nan, math.inf, -1.0, 2.0])
def test_a_line_that_ends_outside_the_plot_leaves_all_to_a_legend(y: float) -> None:
    fitted, boxes, _ = drawn([LineEnd("here", 0.5, "black"), LineEnd("beyond", y, "red")])
    assert not fitted
    assert boxes == []


def test_names_beside_logarithmic_axes_stand_at_the_ends() -> None:
    figure, (axes,) = canvas("Title", "caption", height=HEIGHT_IN)
    values = (1e-5, 1e-3, 1e-1)
    for value in values:
        axes.plot([1, 2], [1.0, value])
    log_ticks(axes, "y")
    assert name_ends((axes, [LineEnd(f"{value:g}", value, c) for value, c in zip(values, COLOURS, strict=False)]))
    svg_of(figure)
    at = [axes.transAxes.inverted().transform(axes.transData.transform((2, value)))[1] for value in values]
    assert [text.xyann[1] for text in axes.texts if isinstance(text, Annotation)] == pytest.approx(at, abs=0.02)


def test_panels_are_all_named_or_none_is() -> None:
    _, panels = canvas("Title", "caption", height=HEIGHT_IN, rows=2)
    for axes in panels:
        axes.set_ylim(0, 1)
    fitting, none = [LineEnd("one", 0.5, "black")], list[LineEnd]()
    assert not name_ends((panels[0], fitting), (panels[1], none))
    assert not panels[0].texts
    assert name_ends((panels[0], fitting), (panels[1], fitting))


def test_lines_of_one_colour_and_dash_are_left_to_a_legend_which_has_their_markers() -> None:
    fitted, boxes, _ = drawn([LineEnd("naive", 0.2, "red"), LineEnd("cached", 0.8, "red")])
    assert not fitted
    assert boxes == []
    assert drawn([LineEnd("naive", 0.2, "red"), LineEnd("cached", 0.8, "red", "--")])[0]
