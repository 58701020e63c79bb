"""The sections on the adaptive search: its trials, whom it stopped, where it went, what mattered. Descriptive only."""

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.document import Picture, Section
from sweeps.analysis.figures import figure_data, figures
from sweeps.analysis.figures import search as search_figures
from sweeps.analysis.stats.importances import remarks, search_importances

RANDOM_START = "The first ten trials are drawn at random, later ones where earlier ones did well: it rises by design."

AUDIT = (
    "Above, how many of each arm's trials reached a rung. Below, the rank correlation of the values at a rung with the "
    "final ones among trials that completed: survivors, and exempt trials where there are any. Survivors alone "
    "understate what the rungs knew and cannot show whom they stopped wrongly."
)

DRIFT = (
    "An arm that did well early is drawn more often, and lr moves with it: arms met different settings, in unequal "
    "numbers."
)


def search(trials: pa.Table, rungs: pa.Table, dataset: str) -> Section:
    """Every trial, the censoring by ASHA and the sampler's way."""
    data = figure_data.search_data(trials, dataset=dataset)
    pictures = [Picture("search", figures.draw_search(data), RANDOM_START)] if data.values else []
    audit = search_figures.audit_data(trials, rungs, dataset=dataset)
    if audit is not None:
        pictures.append(Picture("stopping", search_figures.draw_audit(audit), AUDIT))
    drift = search_figures.drift_data(trials, dataset=dataset)
    if drift is not None:
        pictures.append(Picture("drift", search_figures.draw_drift(drift), DRIFT))
    return Section("Search", pictures=pictures)


def importances(trials: pa.Table, dataset: str) -> Section:
    """Bars where an evaluator answered, its reason where it did not."""
    heading = "Importance of the settings in the search"
    if not pc.any(pc.equal(trials["stage"], "search")).as_py():
        return Section(heading)
    given = search_importances(trials)
    lines = remarks(given)
    if not any(item.shares for item in given):
        return Section(heading, lines)
    picture = Picture(
        "importances",
        figures.draw_importances(figure_data.bar_data(given, dataset=dataset)),
        "Completed trials only, so the sample is the sampler's and the survivors'. The evaluators answer different "
        "questions and may disagree.",
    )
    return Section(heading, lines, pictures=[picture])
