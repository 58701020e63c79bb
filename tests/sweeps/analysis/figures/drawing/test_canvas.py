import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import matplotlib
import pytest

from sweeps.analysis.figures.curves import curve_data, draw_curves
from sweeps.analysis.figures.drawing.canvas import canvas, log_ticks, whole_ticks
from sweeps.analysis.figures.drawing.style import svg_of, titled
from sweeps.analysis.figures.epochs import draw_epochs, epoch_data
from sweeps.analysis.figures.importances import draw_importances, importance_data
from sweeps.analysis.figures.paired import draw_paired, paired_data
from sweeps.analysis.figures.search import draw_search, search_data
from sweeps.analysis.stats.description.importances import Importances
from sweeps.analysis.stats.reading.contrasts import cell_runs, effect_by_epoch
from sweeps.analysis.stats.reading.stored_plan import Contrast
from tests.sweeps.analysis.svg_texts import texts

Make = Callable[..., Any]
CONTRAST = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")


@pytest.mark.slow
def test_drawings_are_stamped_text_and_the_same_bytes_each_time(make_confirm: Make, make_search: Make) -> None:
    tables = make_confirm(tables=make_search())
    confirm = make_confirm()
    runs = cell_runs(confirm.trials, CONTRAST)
    paired = paired_data(runs, runs.effect(), CONTRAST, looks={}, dataset="digits", origin="drop-in")
    curves = curve_data(tables.trials, tables.curves, stage="search", dataset="digits")
    search = search_data(tables.trials, dataset="digits")
    bars = importance_data([Importances("fANOVA", 30, {"lr": 1.0}, {}, "")], dataset="digits")
    marks = effect_by_epoch(confirm.curves, runs)
    assert curves is not None
    assert search is not None
    before = dict(matplotlib.rcParams)
    for draw in (
        lambda: draw_paired(paired),
        lambda: draw_epochs(epoch_data(marks, title="KoLeo", outcome="val_auc", counted="7 seeds", dataset="digits")),
        lambda: draw_curves(curves),
        lambda: draw_search(search),
        lambda: draw_importances(bars),
    ):
        svg = svg_of(draw())
        assert svg == svg_of(draw())
        assert "dc:date" not in svg
        words = texts(svg)
        assert "digits; stage" in words
        assert ("descriptive: adaptive sample" in words) == ("stage search" in words)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((1e-4, 1.0), [".0001", ".001", ".01", ".1", "1"]),
        ((0.002, 0.08), [".002", ".005", ".01", ".02", ".05"]),
        ((0.00176, 0.0773), [".002", ".005", ".01", ".02", ".05"]),  # wide, with one power of ten
        ((0.1, 0.9), [".1", ".2", ".5"]),
    ],
)
def test_a_logarithmic_axis_has_labels_to_read_values_by(values: tuple[float, float], labels: list[str]) -> None:
    figure, (axes,) = canvas("Title", "caption", height=3.0)
    axes.plot([1, 2], values)
    log_ticks(axes, "y")
    svg = svg_of(figure)
    assert [label for label in labels if f">{label}<" in svg] == labels


@pytest.mark.parametrize(
    ("epochs", "labels"), [([1], ["1"]), ([7], ["7"]), ([1, 2], ["1", "2"]), ([3, 4, 5], ["3", "4", "5"])]
)
def test_epochs_are_whole_numbers_however_few(epochs: list[int], labels: list[str]) -> None:
    figure, (axes,) = canvas("Title", "caption", height=3.0)
    axes.plot(epochs, epochs, "o")
    whole_ticks(axes)
    svg_of(figure)
    low, high = axes.get_xlim()
    shown = [
        text.get_text() for at, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True) if low <= at <= high
    ]
    assert shown == labels


def test_titles_hold_whatever_names_hold() -> None:
    figure, (axes,) = canvas("Title", "caption", height=3.0)
    (marks,) = axes.plot([1, 2, 3], [1, 2, 3], "o")
    names = ['say "hi"', "bar \u00a6 broken", "a < b & c\x0bd"]
    titled(marks, *names)
    root = ET.fromstring(svg_of(figure))
    told = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert told == ["say ”hi”", "bar broken", "a < b & c d"]
