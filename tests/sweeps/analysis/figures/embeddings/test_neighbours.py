from pathlib import Path
from typing import Any

import numpy as np

from embedding_core.views.sampling import SHOWN_QUERIES
from embedding_core.views.view_tables import SHOWN_NEIGHBOURS, ViewTables
from sweeps.analysis.figures.embeddings import stored_views
from sweeps.analysis.figures.embeddings.neighbours import neighbour_sheet
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.results.store import read
from tests.sweeps.analysis.invented.views import of

FIRST = ("loss=softmax", "loss=arcface")


def test_a_neighbour_sheet_counts_its_hits(viewed: Path, viewed_cells: Shown, stored: dict[str, ViewTables]) -> None:
    data = neighbour_sheet(viewed_cells, read(viewed, "eval_groups"), "test", "koleo=off", block=Place(1, 2))
    rows = [row for row in of(stored["t00002"], "neighbours") if row["rank"]]
    hits = sum(row["class_id"] == row["other_class_id"] for row in rows)
    assert [tile.same for _, others in data.tiles for tile in others].count(True) == hits
    assert [tile.value for (tile,), _ in data.tiles] == [None] * SHOWN_QUERIES
    rates = [r for r in stored["t00002"].eval_groups if r["metric"] == "hit_rate" and r["k"] == SHOWN_NEIGHBOURS]
    overall = np.average([r["value"] for r in rates], weights=[r["n"] for r in rates])
    written = f"{overall:.3f}".removeprefix("0")
    counted = f"n = 8 queries: {hits} of 40 neighbours of the query's class; over all 120 images {written}; koleo=off"
    assert data.caption.startswith(counted)
    assert "koleo=off, block 2, seed 2" in data.caption
    without = neighbour_sheet(
        viewed_cells, read(viewed, "eval_groups").slice(0, 0), "test", "koleo=off", block=Place(1, 2)
    )
    assert "over all" not in without.caption


def test_a_sheet_of_grey_queries_counts_its_own_hits(many_arms: Any) -> None:
    shown = stored_views.shown(many_arms.views, many_arms.trials, FIRST, dataset="digits")
    assert shown is not None
    sheets = [
        neighbour_sheet(shown, many_arms.groups, "test", FIRST[0], block=Place(1, 1), view=view)
        for view in ("neighbours", "neighbours_grey")
    ]
    assert [sheet.caption.split(" of the")[0] for sheet in sheets] == [
        "n = 4 queries: 16 of 20 neighbours",
        "n = 4 queries: 8 of 20 neighbours",
    ]
    assert sheets[1].title == "Nearest neighbours of grey queries: loss=softmax"
