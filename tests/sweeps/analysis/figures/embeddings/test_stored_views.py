"""Which runs are shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.analysis.figures.embeddings import stored_views
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.results.store import read

CELLS = ("koleo=off", "koleo=on")


def test_cells_in_the_order_asked_and_their_blocks(viewed: Path) -> None:
    tables = read(viewed, "views"), read(viewed, "trials")
    found = stored_views.shown(*tables, ["koleo=on", "koleo=off"], dataset="digits")
    assert found is not None
    one, two = Place(1, 1), Place(1, 2)
    assert found.trials == {"koleo=on": {one: "t00001", two: "t00003"}, "koleo=off": {one: "t00000", two: "t00002"}}
    assert found.block == one
    assert found.named(two) == "block 2"
    alone = stored_views.shown(*tables, ["koleo=on", "never run"], dataset="digits")
    assert alone is not None
    assert alone.cells == ("koleo=on",)
    others = stored_views.shown(*tables, ["never run"], dataset="digits")
    assert others is not None
    assert others.cells == CELLS


def test_nothing_stored_is_nothing_shown(make_confirm: Callable[..., Any], viewed: Path) -> None:
    trials = read(viewed, "trials")
    assert stored_views.shown(read(viewed, "views").slice(0, 0), trials, CELLS, dataset="digits") is None
    assert stored_views.shown(read(viewed, "views"), trials.slice(0, 0), CELLS, dataset="digits") is None
