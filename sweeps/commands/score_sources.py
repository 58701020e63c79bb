"""What the arguments of `verdict` name: sweeps and files, the column of scores, what pairs them, what matters."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeAlias, TypeVar

from embedding_core.errors import Faults
from sweeps.analysis.numbers import sesoi_text
from sweeps.analysis.stats.answers.score_groups import ScoreGroup
from sweeps.commands.score_files import READERS, read_scores
from sweeps.commands.score_table import ScoreTable
from sweeps.commands.sweep_scores import SweepCell, read_cell
from sweeps.design.design import AUC, RECALL_AT_1
from sweeps.results.columns import MEASURED, named

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

Source: TypeAlias = ScoreTable | SweepCell

SEED: Final = "seed"
"""Column that pairs runs where every source has it and nothing else is said."""

KNOWN: Final = {outcome.column: (outcome.label, outcome.sesoi) for outcome in (AUC, RECALL_AT_1)}
"""Column of an outcome -> what it is called in a sentence, and the smallest difference that matters."""


def tried(faults: list[str], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What `work` returns; None where it raises `Faults`, which are added to the others."""
    try:
        return work(*args, **kwargs)
    except Faults as error:
        faults += error.faults
        return None


def each_tried(faults: list[str], work: Callable[[S], T], given: Iterable[S]) -> list[T]:
    """What `work` returns of each; those are left out for which it raises `Faults`, which are added to the others."""
    found = [tried(faults, work, each) for each in given]
    return [result for result in found if result is not None]


def sesoi_of(text: str | None) -> float | None:
    """The smallest difference that matters, as it was given; None where it was not.

    Raises:
        Faults: it is no finite number above 0.
    """
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise Faults([f"`--sesoi` must be a number above 0, but got `{text}`."])
    return value


def open_source(text: str) -> Source:
    """The table of a file, or the runs of a sweep: `scores.csv`, `results/NAME`, `results/NAME#CELL`.

    Raises:
        Faults: as `read_scores` and `read_cell` do.
    """
    path = Path(text)
    if path.is_dir():
        return read_cell(path, None)
    if path.is_file() or path.suffix.lower() in READERS:
        return read_scores(path)
    folder, sign, cell = text.rpartition("#")
    return read_cell(Path(folder), cell) if sign else read_cell(path, None)


def pairing_of(sources: Sequence[Source], asked: str | None, *, independent: bool) -> str | None:
    """The column that pairs runs: the one asked for, `seed` where all have it, or None.

    Raises:
        Faults: a column was asked for, and independent groups too.
    """
    if independent and asked is not None:
        raise Faults([f"Groups are paired by `{asked}` or independent: leave out `--pair-by` or `--independent`."])
    everywhere = all(isinstance(source, SweepCell) or SEED in source.columns for source in sources)
    return asked or (SEED if everywhere and not independent else None)


def metric_of(sources: Sequence[Source], asked: str | None, pair_by: str | None) -> str:
    """The column of scores: the one asked for, or the only column of numbers that every file has beside the pairing.

    Raises:
        Faults: none was asked for, and there is none, or several to choose from; each with its candidates.
    """
    if asked is not None:
        return asked
    found = [(source.name, _candidates(source, pair_by)) for source in sources]
    faults = [
        f"`--metric` must name the column of scores in `{name}`: {_listed(candidates)}."
        for name, candidates in found
        if len(candidates) != 1
    ]
    names = list(dict.fromkeys(candidates[0] for _, candidates in found if len(candidates) == 1))
    if not faults and len(names) > 1:
        each = ", ".join(f"`{candidates[0]}` in `{name}`" for name, candidates in found)
        faults.append(f"The column of scores must have the same name in all files, but it is {each}.")
    if faults:
        raise Faults(faults)
    return names[0]


def outcome_of(sources: Sequence[Source], metric: str, asked: float | None) -> tuple[str, float]:
    """What the score is called in a sentence, and the smallest difference in it that matters.

    Raises:
        Faults: no such difference was given and none is known, or sweeps were planned with several.
    """
    planned = [source.known_outcomes().get(metric) for source in sources if isinstance(source, SweepCell)]
    known = [outcome for outcome in (*planned, KNOWN.get(metric)) if outcome is not None]
    label = known[0][0] if known else named(metric) if metric in MEASURED else metric
    if asked is not None:
        return label, asked
    sizes = sorted({outcome[1] for outcome in planned if outcome is not None})
    if len(sizes) > 1:
        told = " and ".join(map(sesoi_text, sizes))
        raise Faults([f"`--sesoi` must be given, as the sweeps were planned with several for `{metric}`: {told}."])
    if not known:
        there = ", ".join(f"{column} ({sesoi_text(sesoi)})" for column, (_, sesoi) in KNOWN.items())
        raise Faults([f"`--sesoi` must be given, the smallest difference in `{metric}` that matters. Known: {there}."])
    return label, known[0][1]


def is_lower_better(metric: str, *, asked: bool) -> bool:
    """Whether less of the score is better: it was said to be, or the column is known for it."""
    return asked or (metric in MEASURED and MEASURED[metric].better == "lower")


def group_of(source: Source, metric: str, pair_by: str | None) -> ScoreGroup:
    """The scores of a source.

    Raises:
        Faults: everything that is wrong with either column.
    """
    if isinstance(source, SweepCell):
        return source.group(metric, pair_by)
    faults: list[str] = []
    scores = tried(faults, source.numbers, metric)
    keys = None if pair_by is None else tried(faults, source.keys, pair_by)
    if faults:
        raise Faults(faults)
    return ScoreGroup(source.name, tuple(scores or ()), tuple(keys or ()))


def _candidates(source: Source, pair_by: str | None) -> list[str]:
    """Columns that may be the scores."""
    if isinstance(source, SweepCell):
        return source.measured()
    return [name for name in source.of_numbers() if name not in (pair_by, SEED)]


def _listed(candidates: Sequence[str]) -> str:
    return f"candidates are {', '.join(candidates)}" if candidates else "no other column holds numbers"
