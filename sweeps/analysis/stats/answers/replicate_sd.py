"""How much a sweep's effects varied between its replicates: what the power of the next one is reckoned from. Pure."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults
from embedding_core.wording import plural
from sweeps.analysis.stats.answers.derived import beside, primaries
from sweeps.analysis.stats.reading.contrasts import CellRuns, cell_runs
from sweeps.analysis.stats.reading.stored_plan import StoredPlan


@dataclass(frozen=True, slots=True)
class ReplicateSd:
    """Of one estimand."""

    sd: float
    """Between the contrasts of the replicates, in units of the outcome; > 0."""
    replicates: int
    """It was estimated from."""
    blocks: int
    """Seeds of each."""


def replicate_sds(trials: pa.Table, plan: StoredPlan, outcome: str) -> dict[str, ReplicateSd]:
    """By estimand, for those on this outcome that the sweep was judged by or showed beside.

    Args:
        trials: of the sweep, with the column `stage`.
        plan: of the sweep.
        outcome: column of `trials`.

    Raises:
        Faults: nothing of the kind in it, a sweep of one tuning, runs that cannot be paired; all reasons at once.
    """
    confirm = trials.filter(pc.equal(trials["stage"], "confirm"))
    contrasts = [one for one in (*primaries(plan.contrasts), *beside(plan)) if one.outcome == outcome]
    if not contrasts:
        there = sorted({one.outcome for one in plan.contrasts}) or ["no planned contrasts"]
        raise Faults([f"it has no effects on {outcome}; there are: {', '.join(there)}."])
    found: dict[str, ReplicateSd] = {}
    faults: list[str] = []
    for contrast in contrasts:
        try:
            found[contrast.estimand] = _sd_of(cell_runs(confirm, contrast))
        except Faults as error:
            faults += error.faults
    if faults:
        raise Faults(list(dict.fromkeys(faults)))
    return found


def _sd_of(runs: CellRuns) -> ReplicateSd:
    replicates, blocks = len(runs.places), len(runs.places[0])
    if replicates < 2:
        raise Faults(
            [
                f"it has one tuning confirmed by {plural(blocks, 'seed')}: how much an effect varies from replicate to "
                "replicate cannot be told from one, and seeds vary less. It takes a sweep of two replicates or more."
            ]
        )
    sd = float(runs.values.std(ddof=1))
    if not sd > 0:
        raise Faults(["an effect was exactly the same in all of its replicates, so nothing varied."])
    return ReplicateSd(sd, replicates, blocks)
