"""Invented sweeps for the tests of the analysis, as tables and on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.analysis.figures.embeddings.stored_views import Shown, shown
from sweeps.results.store import read
from tests.sweeps.analysis.invented import arms, factorial, stages, tables, views

Row = dict[str, Any]

CELLS = ("koleo=off", "koleo=on")


@pytest.fixture(scope="session")
def make_confirm() -> Callable[..., tables.Tables]:
    return tables.confirm_tables


@pytest.fixture(scope="session")
def make_factorial() -> Callable[..., factorial.Replicated]:
    return factorial.factorial_sweep


@pytest.fixture(scope="session")
def make_search() -> Callable[..., tables.Tables]:
    return tables.search_tables


@pytest.fixture
def plan() -> Row:
    """Of `make_confirm` and `full_sweep`."""
    return json.loads(json.dumps(tables.PLAN))


@pytest.fixture(scope="module")
def full_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Search with stops, a divergence and an unfinished trial, then confirm with a diverged run."""
    made = tables.confirm_tables(effect=-0.021, origin="best of search", tables=tables.search_tables())
    lost = next(r for r in made.trial_rows if r["stage"] == "confirm" and r["cell_id"] == "koleo=on")
    lost |= {"end_reason": "diverged", "test_auc": None, "final_val_auc": None, "last_epoch": 3}
    made.curve_rows = [
        r
        for r in made.curve_rows
        if not (r["stage"] == "confirm" and r["trial_id"] == lost["trial_id"] and r["epoch"] > 3)
    ]
    return made.write(tmp_path_factory.mktemp("sweep") / "koleo_accum", plan=tables.PLAN)


@pytest.fixture
def staged() -> stages.Sweep:
    """A sweep of all stages."""
    return stages.staged_sweep()


@pytest.fixture
def staged_plan() -> Row:
    """Of `staged`; not to be changed."""
    return stages.PLAN


@pytest.fixture(scope="session")
def make_arms() -> Callable[..., arms.Sweep]:
    return arms.arms_sweep


@pytest.fixture
def with_views() -> Callable[..., None]:
    return arms.add_views


@pytest.fixture(scope="session")
def many() -> dict[str, Row]:
    """Eleven arms for `make_arms`."""
    return arms.MANY


@pytest.fixture
def many_arms(
    make_arms: Callable[..., arms.Sweep], with_views: Callable[..., None], many: dict[str, Row]
) -> arms.Sweep:
    """Eleven cells with long names, many classes."""
    made = make_arms(many, blocks=1)
    with_views(made, classes=20, points=40)
    return made


@pytest.fixture
def viewed(make_confirm: Callable[..., Any], plan: Row, tmp_path: Path) -> Path:
    """Folder of a sweep of two cells and two blocks with views."""
    folder: Path = make_confirm(blocks=2).write(tmp_path / "sweep", plan=plan)
    views.write_views(folder, CELLS)
    return folder


@pytest.fixture(scope="session")
def stored() -> dict[str, Any]:
    """The views of `viewed` by trial, numbered as `make_confirm` does: block by block, off before on."""
    return {f"t{2 * (b - 1) + c:05d}": views.computed(c, b) for b in views.BLOCKS for c in range(2)}


@pytest.fixture
def viewed_cells(viewed: Path) -> Shown:
    """Both cells of `viewed`."""
    found = shown(read(viewed, "views"), read(viewed, "trials"), CELLS, dataset="digits")
    assert found is not None
    return found
