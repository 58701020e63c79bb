"""The SD between replicates of an earlier sweep, by estimand."""

from pathlib import Path

import numpy as np
import pytest

from embedding_core.errors import Faults
from sweeps.analysis.stats.answers.derived import primaries
from sweeps.analysis.stats.answers.replicate_sd import replicate_sds
from sweeps.analysis.stats.reading.contrasts import cell_runs
from sweeps.analysis.stats.reading.plan_reader import read_plan
from sweeps.results import store
from tests.sweeps.analysis.invented.factorial import factorial_sweep


@pytest.mark.slow
def test_it_is_that_of_the_contrasts_of_the_replicates(tmp_path: Path) -> None:
    folder = factorial_sweep(replicates=6, blocks=2).write(tmp_path / "sweep")
    trials = store.read(folder, "trials")
    plan = read_plan(folder, trials)
    found = replicate_sds(trials, plan, "test_auc")
    confirm = trials.filter(np.array(trials["stage"].to_pylist()) == "confirm")
    assert set(found) == {contrast.estimand for contrast in primaries(plan.contrasts)}
    for contrast in primaries(plan.contrasts):
        values = cell_runs(confirm, contrast).values
        assert found[contrast.estimand].sd == np.std(values, ddof=1)
        assert (found[contrast.estimand].replicates, found[contrast.estimand].blocks) == (6, 2)


@pytest.mark.slow
def test_an_outcome_shown_beside_will_do_and_one_that_is_not_there_will_not(tmp_path: Path) -> None:
    folder = factorial_sweep(replicates=4).write(tmp_path / "sweep")
    trials = store.read(folder, "trials")
    plan = read_plan(folder, trials)
    assert replicate_sds(trials, plan, "test_recall_at_1")
    with pytest.raises(Faults, match=r"it has no effects on unseen_auc; there are: test_auc\."):
        replicate_sds(trials, plan, "unseen_auc")


@pytest.mark.slow
def test_one_tuning_has_none(tmp_path: Path) -> None:
    folder = factorial_sweep(replicates=1, blocks=8).write(tmp_path / "sweep")
    trials = store.read(folder, "trials")
    with pytest.raises(Faults, match="one tuning confirmed by 8 seeds"):
        replicate_sds(trials, read_plan(folder, trials), "test_auc")
