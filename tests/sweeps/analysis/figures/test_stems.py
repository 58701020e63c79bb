"""Whoever sees figures/X.svg in a report finds all about it in the module of that name."""

from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import sweeps.analysis.figures
from sweeps.analysis.report.compose import compose, compose_comparison

Make = Callable[..., Any]
FOLDER = Path(sweeps.analysis.figures.__path__[0])
MODULES = {
    file.stem: ".".join(("sweeps.analysis.figures", *file.relative_to(FOLDER).with_suffix("").parts))
    for file in FOLDER.rglob("*.py")
    if file.stem != "__init__"
}
SHARED = {"canvas", "direct_labels", "fonts", "panel_grid", "sheets", "stored_views", "style"}
"""Modules of no figure."""

ONE_PLANE = {"pca", "umap", "tsne"}


def module_of(picture: str) -> str | None:
    """The longest beginning of a picture's name that is the name of a module."""
    parts = picture.split("-")
    stems = ["_".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((stem for stem in stems if stem in MODULES), "pca_umap_tsne" if parts[0] in ONE_PLANE else None)


def every_k_measured(staged: Any) -> None:
    """What accumulation keeps, at K=1 as well: all of it. A single K has no figure of it."""
    rows = [row for row in staged.tables.trial_rows if row["stage"] == "confirm" and row["accum_steps"] == 1]
    plain = {row["trial_id"] for row in rows}
    for row in staged.tables.curve_rows:
        if row["stage"] == "confirm" and row["trial_id"] in plain:
            row |= {"nn_agreement": 1.0, "micro_full_grad_cos": 1.0}


@pytest.mark.slow
def test_every_figure_has_the_module_of_its_name_and_every_module_its_figure(
    staged: Any,
    make_arms: Make,
    make_factorial: Make,
    with_views: Make,
    many: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    arms = make_arms({cell: many[cell] for cell in list(many)[:2]}, blocks=2)
    with_views(arms, classes=3, points=12)
    staged = deepcopy(staged)
    every_k_measured(staged)
    folders = (staged.write(tmp_path / "staged"), arms.write(tmp_path / "arms"))
    twice = [make_factorial(replicates=4, seed=seed).write(tmp_path / f"seed-{seed}") for seed in (0, 9)]
    reports = [*map(compose, folders), compose_comparison(*twice)]
    names = {picture.name for report in reports for picture in report.pictures}
    found = {name: module_of(name) for name in names}
    assert [name for name, module in found.items() if module is None] == []
    assert set(found.values()) == set(MODULES) - SHARED
    for stem in set(found.values()):
        module = import_module(MODULES[str(stem)])
        assert [name for name in vars(module) if name == "reading" or "READING" in name], f"{stem} is not explained"
