"""Names beside lines: each at its line, none over another, and a legend where they would not fit."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Annotation

from sweeps.analysis.figures.drawing.canvas import canvas
from sweeps.analysis.figures.drawing.direct_labels import LineEnd, name_ends
from sweeps.analysis.figures.drawing.style import svg_of

HEIGHT_IN = 3.2


def drawn(ends: list[LineEnd]) -> tuple[bool, list[tuple[float, float]], list[float]]:
    """Whether the names were drawn; bottom and top of each, and where its line ends, as shares of the axes' height."""
    figure, (axes,) = canvas("Title", "caption", height=HEIGHT_IN)
    for end in ends:
        axes.plot([0, end.x], [end.y, end.y])
    axes.set_ylim(0, 1)
    fitted = name_ends(axes, ends)
    svg_of(figure)  # lays out
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    to_axes = axes.transAxes.inverted()
    # A label's own box, without its leader.
    boxes = [to_axes.transform_bbox(super(Annotation, name).get_window_extent()) for name in names]
    return fitted, [(box.y0, box.y1) for box in boxes], [end.y for end in ends]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_names_stand_apart_in_the_order_of_their_lines_and_within_the_plot(heights: list[float]) -> None:
    fitted, boxes, _ = drawn([LineEnd(f"line {i}", 1, y, "black") for i, y in enumerate(heights)])
    assert fitted
    assert len(boxes) == len(heights)
    upwards = [boxes[i] for i in sorted(range(len(heights)), key=heights.__getitem__)]
    assert all(low[1] <= high[0] + 1e-6 for low, high in itertools.pairwise(upwards))
    assert upwards[0][0] >= -0.02
    assert upwards[-1][1] <= 1.02


def test_names_of_lines_far_apart_stand_at_their_ends_and_those_of_one_end_around_it() -> None:
    _, boxes, ends = drawn([LineEnd(name, 1, y, "black") for name, y in (("low", 0.2), ("high", 0.8))])
    assert [sum(box) / 2 for box in boxes] == pytest.approx(ends, abs=0.02)
    _, boxes, _ = drawn([LineEnd(name, 1, 0.5, "black") for name in ("one", "another", "third")])
    centres = [sum(box) / 2 for box in boxes]
    assert sum(centres) / 3 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([f"line {i}" for i in range(30)], id="too many"),
        pytest.param(["a", "x" * 40], id="too wide to break"),
        pytest.param([], id="none"),
    ],
)
def test_what_does_not_fit_is_left_to_a_legend(names: list[str]) -> None:
    fitted, boxes, _ = drawn([LineEnd(name, 1, 0.5, "black") for name in names])
    assert not fitted
    assert boxes == []
