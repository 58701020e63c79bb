from collections import Counter
from collections.abc import Callable
from typing import Any

from sweeps.analysis.figures.forest import forest_items
from sweeps.analysis.report.figure_lists import paired
from sweeps.analysis.report.sections.effects import effects
from sweeps.analysis.report.sections.support import support
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.reading.stored_plan import Contrast, StoredPlan

Make = Callable[..., Any]
CURRICULUM, ARCFACE, SOFTMAX = "loss=mined,mining=curriculum,margin=.5", "loss=arcface", "loss=softmax"


def test_outcomes_may_be_mixed_and_share_no_axis_and_no_table(make_arms: Make) -> None:
    sweep = make_arms(blocks=4)
    contrasts = [
        Contrast.pair(CURRICULUM, cell, label=cell, outcome=outcome, estimand=f"{cell} {outcome}")
        for outcome in ("test_auc", "unseen_recall_at_1")
        for cell in (ARCFACE, SOFTMAX)
    ]
    found = findings(sweep.trials, sweep.curves, StoredPlan(contrasts=tuple(contrasts)), sweep.groups)
    assert Counter(item.panel for item in forest_items(found, [])) == {
        "test AUC": 2,
        "recall at 1 on unseen classes": 2,
    }
    titles = [table.header[0] for table in effects(found).tables]
    assert titles == ["primary", "primary: recall at 1 on unseen classes"]
    assert [bool(finding.mechanism) for finding in found] == [True, True, False, False]  # the same cells again
    cells = next(section for section in support(found, sweep.trials) if section.heading == "Cells")
    assert [table.header[0] for table in cells.tables] == ["test AUC", "recall at 1 on unseen classes"]
    assert len(paired(sweep.trials, found, "digits")) == 4


def test_an_interaction_has_no_two_sides_to_draw_and_a_slope_has(make_arms: Make) -> None:
    arms = {
        f"accum_steps={k},loss={loss}": {"accum_steps": k, "loss": loss}
        for k in (1, 4)
        for loss in ("arcface", "softmax")
    }
    sweep = make_arms(arms, margin=0.5)
    weights = dict(zip(arms, (0.5, -0.5, -0.5, 0.5), strict=True))
    interaction = Contrast(weights=weights, label="K", outcome="test_accuracy", outcome_label="softmax's effect")
    slope = Contrast(
        weights=dict(zip(arms, (-0.25, -0.25, 0.25, 0.25), strict=True)), label="K", outcome="test_accuracy"
    )
    found = findings(sweep.trials, sweep.curves, StoredPlan(contrasts=(interaction, slope)))
    assert all(finding.effect is not None for finding in found)
    assert [picture.name for picture in paired(sweep.trials, found, "digits")] == ["paired-koleo-2"]
