"""Eleven cells with long names, many classes: what is shown of which cells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from sweeps.analysis.figures import labels as label_figures
from sweeps.analysis.figures import losses as loss_figures
from sweeps.analysis.figures import sheet_data, similarity, view_data, views
from sweeps.analysis.figures.style import DASHES, arm_style, dash_of
from sweeps.analysis.report import view_figures as pictures
from sweeps.analysis.stats.curves import cells_of
from sweeps.analysis.stats.stored_plan import StoredPlan
from sweeps.commands.report import compose

Make = Callable[..., Any]
Row = dict[str, Any]
FIRST = ("loss=softmax", "loss=arcface")


@pytest.fixture
def sweep(make_arms: Make, with_views: Make, many: dict[str, Row]) -> Any:
    made = make_arms(many, blocks=1)
    with_views(made, classes=20, points=40)
    return made


def cut_off(figure: Figure) -> list[str]:
    """Titles and names of axes that leave the page of a drawn figure."""
    figure.draw_without_rendering()
    wide, high = figure.get_size_inches() * figure.dpi
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label] if axes.get_visible() else []
    boxes = {text.get_text(): text.get_window_extent() for text in texts if text.get_text()}
    return [name for name, box in boxes.items() if min(box.x0, box.y0) < -1 or box.x1 > wide + 1 or box.y1 > high + 1]


def test_all_cells_have_planes_and_four_have_sheets(sweep: Any, many: dict[str, Row]) -> None:
    shown = view_data.shown(sweep.views, sweep.trials, list(many), dataset="digits", first=FIRST)
    assert shown is not None
    assert shown.cells == tuple(many)
    assert shown.sheet_cells == (*FIRST, *list(many)[:2])
    names = [name for name, _, _ in pictures.pictures(shown, sweep.groups)]
    assert sum(name.startswith("images-test") for name in names) == 4
    assert {"distances-l2-unseen", "distances-angular-test", "umap-train", "tsne-train"} <= set(names)
    grey = names.index("neighbours-grey-test-1")
    assert names[grey - 1] == "neighbours-test-1"
    assert pictures.chosen(shown).endswith(f"those of the first contrasts: {'; '.join(shown.sheet_cells)}.")
    few = view_data.shown(sweep.views, sweep.trials, list(many)[:4], dataset="digits", first=FIRST)
    assert few is not None
    assert few.sheet_cells == few.cells


def test_training_images_stand_beside_test_images(sweep: Any, many: dict[str, Row]) -> None:
    shown = view_data.shown(sweep.views, sweep.trials, list(many), dataset="digits")
    assert shown is not None
    data = view_data.train_plane_data(shown, "umap", block=1)
    assert [panel.title for panel in data.panels[:2]] == [f"{shown.cells[0]}\ntrain", f"{shown.cells[0]}\ntest"]
    trial = shown.trials[shown.cells[0]][1]
    stored = [r for r in sweep.view_rows if (r["trial_id"], r["split"], r["view"]) == (trial, "train", "umap")]
    assert data.panels[0].points == tuple((r["x"], r["y"], r["class_name"]) for r in stored)
    assert data.caption.startswith("n = 40 training and 40 test images, 20 classes, 4 of 11 cells")


def test_each_metric_has_its_own_matrix(sweep: Any, many: dict[str, Row]) -> None:
    shown = view_data.shown(sweep.views, sweep.trials, list(many), dataset="digits")
    assert shown is not None
    corners = {view: view_data.distance_data(shown, "unseen", view).matrices[0][0][1] for view in view_data.DISTANCES}
    assert corners == {
        "class_distance": pytest.approx(0.9),
        "class_distance_l2": pytest.approx(1.26),
        "class_distance_angular": pytest.approx(1.35),
    }
    caption = view_data.distance_data(shown, "unseen", "class_distance_l2").caption
    assert "unseen classes; Euclidean distance" in caption


def test_a_sheet_of_grey_queries_counts_its_own_hits(sweep: Any) -> None:
    shown = view_data.shown(sweep.views, sweep.trials, FIRST, dataset="digits")
    assert shown is not None
    sheets = [
        sheet_data.neighbour_sheet(shown, sweep.groups, "test", FIRST[0], block=1, view=view)
        for view in ("neighbours", "neighbours_grey")
    ]
    assert [sheet.caption.split(" of the")[0] for sheet in sheets] == [
        "n = 4 queries: 16 of 20 neighbours",
        "n = 4 queries: 8 of 20 neighbours",
    ]
    assert sheets[1].title == "Nearest neighbours of grey queries: loss=softmax"


@pytest.mark.slow
def test_names_of_eleven_cells_stay_on_the_page(sweep: Any, many: dict[str, Row]) -> None:
    cells = cells_of(sweep.trials, StoredPlan())
    shown = view_data.shown(sweep.views, sweep.trials, cells, dataset="digits")
    assert shown is not None
    where = {"dataset": "digits"}
    losses = loss_figures.loss_data(sweep.trials, sweep.curves, cells, **where)
    similar = similarity.similarity_data(sweep.trials, sweep.curves, cells, **where)
    labels = label_figures.label_data(sweep.evaluations, sweep.trials, cells, split="unseen", **where)
    assert losses is not None
    assert similar is not None
    assert labels is not None
    for figure in (
        loss_figures.draw_losses(losses),
        similarity.draw_similarities(similar),
        label_figures.draw_labels(labels),
        views.draw_distances(view_data.distance_data(shown, "test")),
        views.draw_plane(view_data.plane_data(shown, "test", "umap", block=1)),
        views.draw_spectra(view_data.spectrum_data(shown, "test")),
    ):
        assert cut_off(figure) == []
        assert figure.get_size_inches()[0] == pytest.approx(4.4)


def test_lines_of_one_colour_differ_in_marker_and_dash() -> None:
    looks = arm_style(f"cell {i:02}" for i in range(12))
    assert len({(*looks[name], dash_of(looks, name)) for name in looks}) == 12
    for name, other in zip(list(looks)[:6], list(looks)[6:], strict=True):
        assert looks[name][0] == looks[other][0]
        assert looks[name][1] != looks[other][1]
        assert (dash_of(looks, name), dash_of(looks, other)) == DASHES[:2]


def test_the_report_has_its_sections(make_arms: Make, tmp_path: Path) -> None:
    sweep = make_arms(blocks=2)
    report = compose(sweep.write(tmp_path / "arms"))
    headings = [section.heading for section in report.sections]
    wanted = ["Accuracy", "Few labels", "Colour", "Learning curves", "Losses and similarities"]
    assert [heading for heading in headings if heading in wanted] == wanted
