"""What ASHA is expected to save, before anything runs."""

from sweeps.design.tuning import ETA, GRACE
from sweeps.engine.search.asha import milestones


def expected_epochs(trials: int, epochs: int, *, exempt: float = 0.0, eta: int = ETA, grace: float = GRACE) -> float:
    """Epochs that a trial of a study is expected to run for, of `epochs`, if its values tell nothing of one another.

    A value among n that are exchangeable is above the median of those before it with probability 1/2, whatever n is,
    and the first one at a rung goes on; so of j trials that are judged at a rung, 1 + (j - 1) / 2 go on, and with
    another eta about 1 + (j - 1) / eta. A tuner that
    learns proposes better and better trials, of which more go on: this is about what will be, and it is no bound.

    Args:
        trials: of the study, >= 1.
        epochs: of a trial that is not stopped.
        exempt: share of trials that go on where another would stop.
        eta: of ASHA.
        grace: likewise.
    """
    judged, exempted, before, run = float(trials), 0.0, 0, 0.0
    for rung in (*milestones(1, epochs, eta=eta, grace=grace), epochs):
        run += (judged + exempted) * (rung - before)
        losers = (judged - 1) * (1 - 1 / eta)
        judged, exempted, before = judged - losers, exempted + exempt * losers, rung
    return run / trials
