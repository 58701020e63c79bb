"""The section on which settings mattered in the search. Descriptive only."""

from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.document import Picture, Section
from sweeps.analysis.figures.importances import READING, draw_importances, importance_data
from sweeps.analysis.stats.description.importances import remarks, search_importances

HEADING: Final = "Importance of the settings in the search"


def section(trials: pa.Table, dataset: str) -> Section:
    """Bars where an evaluator answered, its reason where it did not; empty without a search."""
    if not pc.any(pc.equal(trials["stage"], "search")).as_py():
        return Section(HEADING)
    given = search_importances(trials)
    lines = remarks(given)
    if not any(item.shares for item in given):
        return Section(HEADING, lines)
    data = importance_data(given, dataset=dataset)
    return Section(HEADING, lines, pictures=[Picture("importances", partial(draw_importances, data), READING)])
