"""Figures of the report's sections, each with how to read it; those without data are left out."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.document import Picture
from sweeps.analysis.figures import budget, figure_data, figures, similarity
from sweeps.analysis.figures import design as design_figures
from sweeps.analysis.figures import losses as loss_figures
from sweeps.analysis.figures import mechanism as mechanism_figures
from sweeps.analysis.figures import tuning as tuning_figures
from sweeps.analysis.figures.forest import forests
from sweeps.analysis.stats import descriptive
from sweeps.analysis.stats.findings import Finding

INTERACTION: Final = (
    "Large marks are means of a cell, small dots its runs, faint lines the runs of one block. Lines that are not "
    "parallel are what an interaction looks like; whether there is one is for the interval to say."
)
FOREST: Final = "Each contrast over its own band of ±SESOI. Only the primary ones are adjusted for their number."
ISOLATION: Final = (
    "Every cell met the same settings. Tuning is fair where each cell's best lies inside the range and the others fall "
    "off around it."
)
DOSE: Final = (
    "Pairs of trials at the same point of the other settings, one seed: KoLeo on minus off. The best of each cell is "
    "what goes on to confirm, not this average."
)
TUNING: Final = (
    "What the best of n trials would reach, half of the time: an arm that needs more tuning rises later. Bands treat "
    "the points as independent draws."
)
PLANE: Final = "Large marks are means of a cell."
PUSHED: Final = " KoLeo pushes nearest neighbours apart."
GAP: Final = (
    "What a micro-batch of B / K still sees of the batch, and whether its gradient points the same way. Measured on "
    "training batches, in either mode; nothing is lost at K = 1."
)
COST: Final = "Large marks are means of a cell. Seconds are those of the machine named under provenance."


def design(trials: pa.Table, found: list[Finding], dataset: str, aside: set[str]) -> list[Picture]:
    """The planned comparison: outcomes against accumulation steps, and a forest per outcome."""
    pictures = []
    interaction = design_figures.interaction_data(trials, dataset=dataset, without=aside)
    if interaction is not None:
        pictures.append(Picture("interaction", design_figures.draw_interaction(interaction), INTERACTION))
    for i, (outcome, items) in enumerate(forests(found).items()):
        forest = design_figures.forest_data([item[:3] for item in items], dataset=dataset, outcome=outcome)
        name = f"forest-{outcome.replace('_', '-')}" if i else "forest"
        pictures.append(Picture(name, design_figures.draw_forest(forest), FOREST))
    return pictures


def tuning(trials: pa.Table, dataset: str) -> list[Picture]:
    """Where tuning looked, and what it found."""
    pictures = []
    isolation = tuning_figures.isolation_data(trials, dataset=dataset)
    if isolation is not None:
        pictures.append(Picture("isolation", tuning_figures.draw_isolation(isolation), ISOLATION))
    dose = tuning_figures.dose_data(trials, dataset=dataset)
    if dose is not None:
        pictures.append(Picture("dose", tuning_figures.draw_dose(dose), DOSE))
    curves = budget.tuning_data(trials, dataset=dataset)
    if curves is not None:
        pictures.append(Picture("tuning", budget.draw_tuning(curves), TUNING))
    return pictures


def learning_curves(trials: pa.Table, curves: pa.Table, dataset: str, aside: set[str]) -> list[Picture]:
    """Validation AUC by epoch, a figure per stage."""
    pictures = []
    for stage in descriptive.trials_by_stage(trials, curves):
        data = figure_data.curve_data(trials, curves, stage=stage, dataset=dataset, without=aside)
        if data.curves:
            reading = "A thin line is one trial" + ("; a thick line is the mean of its arm." if data.means else ".")
            pictures.append(Picture(f"curves-{stage}", figures.draw_curves(data), reading))
    return pictures


def by_cell(trials: pa.Table, curves: pa.Table, cells: Sequence[str], dataset: str) -> list[Picture]:
    """What training looked like in each confirmed cell."""
    pictures = []
    losses = loss_figures.loss_data(trials, curves, cells, dataset=dataset)
    if losses is not None:
        pictures.append(Picture("losses", loss_figures.draw_losses(losses), loss_figures.reading(losses)))
    similar = similarity.similarity_data(trials, curves, cells, dataset=dataset)
    if similar is not None:
        figure = similarity.draw_similarities(similar)
        pictures.append(Picture("similarities", figure, similarity.READING))
    return pictures


def mechanism(trials: pa.Table, curves: pa.Table, dataset: str) -> list[Picture]:
    """How KoLeo and accumulation act."""
    pictures = []
    plane = mechanism_figures.plane_data(trials, curves, dataset=dataset)
    if plane is not None:
        reading = PLANE + (PUSHED if pc.any(trials["koleo"]).as_py() else "")
        pictures.append(Picture("plane", mechanism_figures.draw_scatter(plane), reading))
    gap = mechanism_figures.gap_data(trials, curves, dataset=dataset)
    if gap is not None:
        pictures.append(Picture("gap", mechanism_figures.draw_gap(gap), GAP))
    return pictures


def cost(trials: pa.Table, dataset: str) -> list[Picture]:
    """What a run costs."""
    data = mechanism_figures.cost_data(trials, dataset=dataset)
    return [Picture("cost", mechanism_figures.draw_scatter(data), COST)] if data is not None else []
