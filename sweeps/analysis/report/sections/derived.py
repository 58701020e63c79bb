"""The sections on what follows from the primaries: KoLeo against accumulation, common settings, the winner's curse."""

from collections.abc import Sequence
from typing import Final

from embedding_core.wording import plural
from sweeps.analysis.document import Section, Table
from sweeps.analysis.numbers import estimate_texts, four, interval, number, two_digits_of
from sweeps.analysis.report.sections.effects import intervals, refused
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.answers.koleo_against_accumulation import PARTS, Comparison
from sweeps.analysis.stats.description.winners_curse import Curse
from sweeps.analysis.stats.intervals.effects import Effect, Interval
from sweeps.analysis.stats.reading.composite import counted_as
from sweeps.results.columns import named

AGAINST: Final = (
    "Both are in units of the outcome ({counted}). What accumulation takes back of KoLeo's effect is the interaction "
    "with its sign reversed. Its share of the effect has Fieller's interval; a negative share adds to the effect, and "
    "where the effect itself may be 0 there is none."
)
OF_PRIMARIES: Final = (
    "On {outcome}, these are primaries and have the intervals of the primaries, which hold all at once: {parts}."
)
BARE: Final = (
    "Estimates only: replicates were added after a look, and there are too few for intervals that allow for that."
)

COMMON: Final = (
    "All cells of a replicate ran the same settings{ended}. The differences are treatment minus control at equal "
    "settings by {measure}, averaged over the points of a replicate, so that nothing was selected. 95 % intervals over "
    "replicates, each on its own."
)
CURSE: Final = (
    "The best of several settings is partly the luckiest. By {measure}: its value at tuning, the mean over fresh seeds "
    "at the same settings, and the difference{interval}, all averaged over replicates."
)


def against(compared: Sequence[Comparison]) -> Section:
    """KoLeo against accumulation, a row per outcome."""
    if not compared:
        return Section("KoLeo against accumulation")
    one = compared[0]
    header = [
        "",
        f"KoLeo, off to on at K={one.low}",
        f"K={one.low} to {one.high} with KoLeo",
        "first minus second",
        f"KoLeo at K={one.high} minus at K={one.low}",
        "share of KoLeo's effect taken back",
    ]
    rows = []
    for each in compared:
        parts = (each.koleo, each.accumulation, each.difference, each.taken_back)
        share = "none" if each.share is None else interval(each.share)
        rows.append([named(each.outcome), *map(_estimate if each.bare else interval, parts), share])
    lines = [AGAINST.format(counted=one.counted), *_intervals_of(one, dict(zip(PARTS, header[1:], strict=False)))]
    return Section("KoLeo against accumulation", lines, tables=[Table(header, rows)])


def _estimate(found: Interval | Effect) -> str:
    return number(found.estimate, decimals=two_digits_of(found.standard_error), signed=True)


def _intervals_of(one: Comparison, names: dict[str, str]) -> list[str]:
    """Which intervals stand in the table: of a primary, or of their own, and whether they hold at every look."""
    if one.bare:
        return [BARE]
    own = f"95 % intervals{', valid at every look' * one.anytime}, each on its own"
    if not one.shared:
        return [f"{own[:1].upper()}{own[1:]}."]
    shared = "; ".join(names[part] for part in one.shared)
    return [f"{OF_PRIMARIES.format(parts=shared, outcome=named(one.outcome))} The others are {own}."]


def common(found: Sequence[Finding]) -> Section:
    """The primaries at settings that all cells share."""
    own = [one for one in found if one.contrast.family == "common"]
    if not own:
        return Section("At common settings")
    table = intervals("", own)
    measure = own[0].contrast.outcome
    failed = {run for one in own if one.runs is not None for run in one.runs.failed}
    runs = plural(len(failed), "run")
    ended = f", of which {runs} failed, {counted_as(measure)}" if failed else " to their end"
    line = COMMON.format(measure=named(measure), ended=ended)
    return Section("At common settings", [line, *refused(own)], tables=[table] if table.rows else [])


def winners_curse(curses: Sequence[Curse], measure: str) -> Section:
    """What the best of each cell promised, and what fresh seeds gave."""
    if not curses:
        return Section("Winner's curse")
    told = "" if all(one.interval is None for one in curses) else " with its 95 % interval"
    rows = [
        [
            one.cell_id,
            four(one.at_tuning),
            four(one.fresh),
            *(estimate_texts(one.interval) if one.interval else [number(one.gap, decimals=4, signed=True), ""]),
            str(one.n),
        ]
        for one in curses
    ]
    header = ["", "at tuning", "fresh seeds", "difference", "95 % interval", "replicates"]
    return Section("Winner's curse", [CURSE.format(measure=measure, interval=told)], tables=[Table(header, rows)])
