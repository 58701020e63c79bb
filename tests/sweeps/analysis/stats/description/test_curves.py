from collections.abc import Callable
from typing import Any

from sweeps.analysis.stats.description.curves import cells_of
from sweeps.analysis.stats.reading.stored_plan import PlannedCell, StoredPlan

Make = Callable[..., Any]
CURRICULUM, ALL = "loss=mined,mining=curriculum,margin=.5", "loss=mined,mining=all/all,margin=.5"


def test_cells_stand_in_the_plans_order_without_controls(make_arms: Make) -> None:
    sweep = make_arms()
    planned = [PlannedCell(cell_id=c, blocks=3, role=r) for c, r in (("loss=softmax", "factorial"), (ALL, "control"))]
    assert cells_of(sweep.trials, StoredPlan(cells=tuple(planned))) == ["loss=softmax", "loss=arcface", CURRICULUM]
