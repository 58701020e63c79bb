"""What ASHA is expected to save is what its rule saves where values tell nothing of one another."""

import numpy as np
import pytest

from sweeps.design.tuning import ETA
from sweeps.engine.search.asha import Exemption, Rungs, milestones
from sweeps.engine.search.asha_savings import expected_epochs


def simulated(trials: int, epochs: int, exempt: float, rounds: int) -> float:
    """Mean epochs per trial of studies whose values are draws."""
    rng, run = np.random.default_rng(0), 0
    for study in range(rounds):
        rungs = Rungs(milestones(1, epochs), ETA, exempt=Exemption(exempt, study))
        for trial in range(trials):
            for epoch in range(1, epochs + 1):
                run += 1
                decision = rungs.decide(f"t{trial}", epoch, rng.random())
                if decision is not None and decision.stop:
                    break
    return run / rounds / trials


@pytest.mark.parametrize(
    ("trials", "epochs", "exempt"), [(8, 20, 0.0), (4, 8, 0.0), (16, 15, 0.0), (100, 15, 0.3), (3, 2, 0.0)]
)
def test_it_is_what_draws_show(trials: int, epochs: int, exempt: float) -> None:
    expected = expected_epochs(trials, epochs, exempt=exempt)
    assert expected == pytest.approx(simulated(trials, epochs, exempt, rounds=3000 // trials), rel=0.03)


def test_a_larger_eta_and_less_grace_save_more() -> None:
    epochs = [expected_epochs(32, 20, eta=eta, grace=grace) for eta, grace in ((2, 0.25), (4, 0.25), (4, 0.05))]
    assert epochs == sorted(epochs, reverse=True)


def test_one_trial_is_never_stopped_and_none_is_in_a_single_epoch() -> None:
    assert expected_epochs(1, 20) == 20
    assert expected_epochs(50, 1) == 1


def test_all_exempt_means_no_savings() -> None:
    assert expected_epochs(50, 16, exempt=1.0) == pytest.approx(16)
