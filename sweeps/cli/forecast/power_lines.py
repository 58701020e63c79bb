"""What a plan will be able to say, told before it runs: half-widths, effects and sentences within reach."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from embedding_core.errors import Faults
from embedding_core.wording import plural
from sweeps.analysis.numbers import number, sesoi_text, two_digits_of
from sweeps.analysis.stats.answers.replicate_sd import ReplicateSd, replicate_sds
from sweeps.analysis.stats.intervals.power import POWER, Reachable, reachable, replicates_needed
from sweeps.analysis.stats.reading.plan_reader import read_plan
from sweeps.analysis.wording import MIN_REPLICATES
from sweeps.design.plan import Plan
from sweeps.results import store

SDS = (0.005, 0.01, 0.02)
"""Of a replicate's effect, where no earlier sweep says it: what sweeps of AUC and of recall have shown."""

SDS_OF_SESOI = (0.5, 1.0, 2.0)
"""The same as multiples of the SESOI, for outcomes of another size."""

SHARE_SESOIS = (0.001, 0.05)
"""SESOIs of outcomes that `SDS` are right for."""

WANTED = 2
"""SESOIs that a pilot's advice is reckoned for."""


def power_lines(plan: Plan, earlier: Mapping[str, ReplicateSd] | None = None, *, name: str = "") -> list[str]:
    """The table, line by line; empty for a plan that judges nothing.

    Args:
        plan: what would run.
        earlier: SDs by estimand of a sweep there is.
        name: of that sweep.
    """
    estimands = [contrast.estimand for contrast in plan.contrasts() if contrast.family == "primary"]
    if not estimands or "confirm" not in plan.stages:
        return []
    if earlier is None:
        low, high = SHARE_SESOIS
        fits = low <= plan.outcome.sesoi <= high
        sds = SDS if fits else [share * plan.outcome.sesoi for share in SDS_OF_SESOI]
        rows = [(_rounded(sd), sd) for sd in sds]
    else:
        rows = [(f"{each}: {_rounded(earlier[each].sd)}", earlier[each].sd) for each in estimands if each in earlier]
    judged = f"{plural(len(estimands), 'effect')} on {plan.outcome.label} judged together"
    found = [f"power:     {_replicates(plan)}, {judged}; {sesoi_text(plan.outcome.sesoi)} matters"]
    if earlier is not None:
        found += _told(earlier, estimands, name)
    if plan.replicates < MIN_REPLICATES:
        return found + _pilot(plan, [sd for _, sd in rows], len(estimands))
    told = [
        (text, reachable(sd, plan.replicates, sesoi=plan.outcome.sesoi, family=len(estimands))) for text, sd in rows
    ]
    legend = f"  An effect is said to be called if it is with probability {number(POWER, decimals=1)} or more."
    return [*found, *_table(told, plan.outcome.sesoi), legend]


def sds_of(folder: Path, plan: Plan) -> dict[str, ReplicateSd]:
    """SDs of an earlier sweep for the outcome of a plan.

    Raises:
        Faults: no such sweep, or none that can tell.
    """
    trials = store.read(folder, "trials")
    try:
        found = replicate_sds(trials, read_plan(folder, trials), plan.outcome.column)
    except Faults as error:
        raise Faults([f"`--sd-from {folder}`: {fault}" for fault in error.faults]) from None
    primaries = {contrast.estimand for contrast in plan.contrasts() if contrast.family == "primary"}
    if not primaries & set(found):
        asked, there = ", ".join(sorted(primaries)), ", ".join(found)
        raise Faults([f"`--sd-from {folder}`: it estimates {there}, and none of what is planned: {asked}."])
    return found


def _replicates(plan: Plan) -> str:
    one = plan.replicates == 1
    what = "replicate" if plan.confirm == "drop-in" else "tuning"
    seeds = f" x {plan.blocks} seeds" if plan.blocks > 1 else ""
    return f"{plan.replicates} {what}{'' if one else 's'}{seeds}"


def _told(earlier: Mapping[str, ReplicateSd], estimands: Sequence[str], name: str) -> list[str]:
    first = next(iter(earlier.values()))
    lines = [f"  SDs of {name}: {first.replicates} replicates x {plural(first.blocks, 'seed')}"]
    absent = [each for each in estimands if each not in earlier]
    return lines + ([f"  not estimated there: {', '.join(absent)}"] if absent else [])


def _pilot(plan: Plan, sds: Sequence[float], family: int) -> list[str]:
    """Why there will be no verdict, and what it takes."""
    if plan.confirm == "best of search":
        return ["  pilot: no verdict. A search is one tuning; for verdicts take a preset that tunes every cell."]
    effect = WANTED * plan.outcome.sesoi
    needed = [replicates_needed(effect, sd, family=family) for sd in sds]
    advice = ", ".join(f"{n or 'over 10,000'} at {_rounded(sd)}" for sd, n in zip(sds, needed, strict=True))
    return [
        f"  pilot: no verdict. That takes --replicates {MIN_REPLICATES} at least.",
        f"  To call an effect of {_rounded(effect)} raised or lowered it takes, by the SD of an effect: {advice}.",
    ]


def _table(told: Sequence[tuple[str, Reachable]], sesoi: float) -> list[str]:
    """Aligned columns, one line per SD."""
    matters = sesoi_text(sesoi)
    head = ["SD of an effect", "95 % interval", "called raised/lowered", f"called more than {matters}",
            '"no difference that matters"']  # fmt: skip
    rows = [head]
    for text, reach in told:
        said = f"can be said ({number(reach.equivalence_power, decimals=2)})"
        if not reach.equivalence:
            said = f"rarely ({number(reach.equivalence_power, decimals=2)})"
        if reach.equivalence_power < 0.005:
            said = "never"
        assert reach.moved is not None
        assert reach.beyond is not None
        rows.append([text, f"+-{_rounded(reach.half_width)}", f"from {_rounded(reach.moved)}",
                     f"from {_rounded(reach.beyond)}", said])  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _rounded(value: float) -> str:
    """Two digits that count."""
    return number(value, decimals=two_digits_of(value)) if value < 1 else f"{value:.2g}"
