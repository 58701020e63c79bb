"""Groups of scores against a control: what pairs them, and the effect that they support. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.stats.intervals.anytime import FIRST_LOOK
from sweeps.analysis.stats.intervals.effects import MIN_BLOCKS, Effect, paired_effect, replicated_effect
from sweeps.analysis.stats.intervals.independent_groups import independent_effect
from sweeps.analysis.wording import MIN_REPLICATES, NEEDED

Key: TypeAlias = int | str | tuple[int | str, ...]
"""What pairs a score with one of another group; several where the score is a mean over several runs."""

NAMED: Final = 5
"""Keys that a sentence names at most."""


@dataclass(frozen=True, slots=True)
class ScoreGroup:
    """Scores that differ by their seeds alone, or by tunings and seeds."""

    name: str
    """As a sentence has it, without quotes: `runs/new.csv`."""

    scores: tuple[float, ...]
    """Finite; of each independent unit one."""

    keys: tuple[Key, ...] = ()
    """What pairs each score, without repetition; empty where nothing does."""

    units: str = "runs"
    """What a score is of, in the plural: `runs`, `tunings x 2 seeds`."""

    kind: Literal["run", "replicate", "at one tuning"] = "run"
    """`replicate`: of a sweep, with seed, images and tuning of its own. `at one tuning`: of a sweep that has one, so
    that no verdict rests on its seeds, as in its report."""

    grown: bool = False
    """Whether replicates were added after the first could be looked at."""

    test_images: frozenset[str] = frozenset()
    """Hashes of the images that the scores are of; empty: not known."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a comparison is about."""

    outcome: str
    """The score in a sentence: `AUC`."""

    pair_by: str | None
    """Column that pairs runs; None: the groups are independent."""

    sesoi: float
    """Smallest difference that matters, > 0, in units of the score."""

    family: int = 1
    """Comparisons held together: intervals are Bonferroni's over them."""

    lower_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Matched:
    """Scores of a control and a treatment as they enter a comparison."""

    control: ScoreGroup
    treatment: ScoreGroup
    scores: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Of the control and of the treatment; in one order where they are paired."""

    alone: tuple[tuple[Key, ...], tuple[Key, ...]] = ((), ())
    """Keys of the control, and of the treatment, that the other does not have."""

    paired: bool = True

    @property
    def kinds(self) -> set[str]:
        """What the scores of either side are of."""
        return {self.control.kind, self.treatment.kind}

    @property
    def flat(self) -> bool:
        """Whether no score differs from the others of its side: then nothing tells how much chance does."""
        return all(np.ptp(side) == 0 for side in self.scores)

    @property
    def grown(self) -> bool:
        """Whether replicates of either side were added after a look."""
        return self.control.grown or self.treatment.grown


def matched(control: ScoreGroup, treatment: ScoreGroup, *, paired: bool) -> Matched:
    """The scores of both, those with a common key alone if they are `paired`."""
    both = (control, treatment)
    if not paired:
        first, second = (np.array(group.scores, dtype=np.float64) for group in both)
        return Matched(control, treatment, (first, second), paired=False)
    shared = set(control.keys) & set(treatment.keys)
    order = [key for key in control.keys if key in shared]
    by_key = [dict(zip(group.keys, group.scores, strict=True)) for group in both]
    first, second = (np.array([scores[key] for key in order], dtype=np.float64) for scores in by_key)
    alone, others = (tuple(key for key in group.keys if key not in shared) for group in both)
    return Matched(control, treatment, (first, second), (alone, others))


def match_faults(found: Matched, terms: Terms) -> list[str]:
    """Why these scores are not compared; empty if nothing stands against it."""
    control, treatment = found.control, found.treatment
    faults = []
    pairs = found.scores[0].size
    if found.paired and pairs < 2:
        there = "; ".join(f"in `{group.name}` {key_texts(group.keys)}" for group in (control, treatment))
        faults.append(
            f"A comparison needs at least 2 pairs by `{terms.pair_by}`, but `{control.name}` and `{treatment.name}` "
            f"have {pairs} ({there}). If they are independent runs on purpose, say so with `--independent`."
        )
    if not found.paired:
        faults += [
            f"Without pairs a comparison needs at least 2 scores of each group, but `{group.name}` has {side.size}."
            for group, side in zip((control, treatment), found.scores, strict=True)
            if side.size < 2
        ]
    if control.test_images and treatment.test_images and control.test_images != treatment.test_images:
        hashes = (", ".join(sorted(sha[:12] for sha in group.test_images)) for group in (control, treatment))
        faults.append(
            f"Scores must be of the same test images, but those of `{control.name}` and `{treatment.name}` differ "
            f"({' and '.join(hashes)})."
        )
    return faults


def effect_of(found: Matched, terms: Terms) -> tuple[Effect, str]:
    """The effect, and what a verdict would take where it is but a pilot.

    By the rules of a report: replicates of a sweep need four for a verdict, runs of which nothing else is known seven,
    and the seeds of one tuning get none.

    Args:
        found: at least two pairs, or two scores of each group.
        terms: the smallest difference that matters, and how many comparisons are held together.
    """
    effect, needed = _by_kind(found, terms)
    if found.flat:
        return replace(effect, verdict="pilot"), "scores that differ from run to run, and here all are equal"
    if found.grown and not effect.anytime:
        text = f"at least {FIRST_LOOK} paired replicates, since some were added after a look"
        return replace(effect, verdict="pilot"), text
    return effect, needed


def _by_kind(found: Matched, terms: Terms) -> tuple[Effect, str]:
    common = {"sesoi": terms.sesoi, "family": terms.family}
    single, replicates = "at one tuning" in found.kinds, found.kinds == {"replicate"}
    needed = NEEDED if single or replicates else f"at least {MIN_BLOCKS} {'pairs' if found.paired else 'runs of each'}"
    if not found.paired:
        least = MIN_REPLICATES if replicates else MIN_BLOCKS
        effect = independent_effect(*found.scores, least=least, **common)  # type: ignore[arg-type]
        return (replace(effect, verdict="pilot") if single else effect), needed
    if not single and not replicates:
        return paired_effect(*found.scores, **common), needed  # type: ignore[arg-type]
    pairs = np.stack(found.scores)  # [2, units]
    values = pairs[None] if single else pairs.T[:, :, None]
    anytime = not single and found.grown and pairs.shape[1] >= FIRST_LOOK
    return replicated_effect(values, weights=(-1.0, 1.0), anytime=anytime, **common), needed  # type: ignore[arg-type]


def key_texts(keys: Sequence[Key]) -> str:
    """`3, 4, 7+8, ...`: the first few keys, in their order."""
    texts = ["+".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in keys[:NAMED]]
    return ", ".join([*texts, *(["..."] if len(keys) > NAMED else [])])
