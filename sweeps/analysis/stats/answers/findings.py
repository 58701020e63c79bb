"""What the confirm stage supports for each planned contrast: an effect and its caveats, or the reasons for none."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.numbers import number
from sweeps.analysis.stats.answers.caveats import caveats
from sweeps.analysis.stats.answers.context import context_of
from sweeps.analysis.stats.answers.derived import at_common_settings, beside, primaries
from sweeps.analysis.stats.answers.sensitivity import over_classes
from sweeps.analysis.stats.description.descriptive import distinct
from sweeps.analysis.stats.description.mechanism import MechanismEffect, mechanism_effects
from sweeps.analysis.stats.intervals.anytime import FIRST_LOOK
from sweeps.analysis.stats.intervals.effects import ALPHA, Effect, Interval, probability_of_superiority, t_interval
from sweeps.analysis.stats.intervals.power import detectable_range
from sweeps.analysis.stats.reading.contrasts import CellRuns, EpochEffect, cell_runs, effect_by_epoch
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.analysis.stats.reading.refusals import Refused, Unfinished
from sweeps.analysis.stats.reading.stored_plan import FAMILIES, Contrast, StoredPlan
from sweeps.analysis.wording import capital, control_sentence, sentence, withdrawal
from sweeps.results.columns import WHILE_TRAINING


@dataclass(frozen=True, slots=True)
class Finding:
    """One contrast and what became of it."""

    contrast: Contrast
    sentence: str = ""
    """Of a primary or a control: what the data support. Of any that was refused: why nothing is claimed."""

    origin: str = ""
    """How the cells' settings were chosen: `drop-in`, `best of search`, `best of tune`."""

    runs: CellRuns | None = None
    """None where it was refused."""

    unfinished: frozenset[tuple[str, Place]] = frozenset()
    """Runs whose absence alone refused it."""

    estimated: Effect | Interval | None = None
    """An effect with a verdict of a primary, an interval of any other; None without an interval."""

    withdrawn: bool = False
    """Whether failed runs alone made it equivalent, which the verdict does not count."""

    superiority: Interval | None = None
    """Share of units in which the treatment came out above the control; primaries alone."""

    detectable: Interval | None = None
    """Effect that so many replicates detect with power .8, with its interval, as their SD is estimated; None of a pilot
    and where one has looked before."""

    by_epoch: list[EpochEffect] = field(default_factory=list)
    over_classes: Interval | None = None
    """The interval over replicates x classes."""

    caveats: list[str] = field(default_factory=list)
    mechanism: list[MechanismEffect] = field(default_factory=list)

    @property
    def effect(self) -> Effect | None:
        """Of a primary."""
        return self.estimated if isinstance(self.estimated, Effect) else None

    @property
    def name(self) -> str:
        """The treatment: short, for tables and figures."""
        return self.contrast.name

    @property
    def due_to_tuning(self) -> float | None:
        """Share of the variance between units that tuning anew makes; None of a pilot and where it cannot be told."""
        effect = self.effect
        if effect is None or effect.verdict == "pilot" or effect.tau_squared is None or effect.standard_error == 0:
            return None
        return effect.tau_squared / (effect.standard_error**2 * effect.n)


def findings(
    trials: pa.Table, curves: pa.Table, plan: StoredPlan, eval_groups: pa.Table | None = None
) -> list[Finding]:
    """Each contrast of the plan and those of `derived`, by family; none if there are no confirm rows at all.

    Args:
        trials: with the column `stage`.
        curves: with the column `stage`.
        plan: says what is estimated.
        eval_groups: with `stage`: per-class parts of the test AUC, for the interval over replicates x classes.
    """
    confirm, tune = (trials.filter(pc.equal(trials["stage"], stage)) for stage in ("confirm", "tune"))
    if not confirm.num_rows:
        return []
    seen = [contrast for contrast in beside(plan) if _measured(confirm, contrast.outcome)]
    contrasts = [*plan.contrasts, *seen, *at_common_settings(plan)]
    found = []
    for contrast in sorted(contrasts, key=lambda contrast: FAMILIES.index(contrast.family)):
        if contrast.family == "primary":
            family = len(primaries(plan.contrasts))
            found.append(_primary(confirm, curves, contrast, eval_groups, family, grown=plan.grown))
        else:
            found.append(_other(tune if contrast.family == "common" else confirm, contrast, grown=plan.grown))
    return _each_line_once(_each_measure_once(found))


def _measured(rows: pa.Table, outcome: str) -> bool:
    """Whether any run has the outcome."""
    return outcome in rows.column_names and bool(rows[outcome].null_count < rows.num_rows)


def _primary(
    confirm: pa.Table, curves: pa.Table, contrast: Contrast, groups: pa.Table | None, family: int, *, grown: bool
) -> Finding:
    """With its verdict; `family` is that of the plan, in which a refused primary counts."""
    started = _started(confirm, contrast)
    runs, own = started.runs, _of_cells(confirm, contrast)
    if runs is None:
        return started
    if grown and len(runs.places) < FIRST_LOOK:
        return replace(started, sentence=_no_second_look(runs, contrast, own))
    whole = runs.effect(sesoi=contrast.sesoi, family=family, anytime=grown)
    effect = _supported(whole, runs)
    withdrawn = whole.equivalent and not effect.equivalent and effect.verdict != "pilot"
    wide = over_classes(runs, groups, outcome=contrast.outcome)
    measure = WHILE_TRAINING.get(contrast.outcome)
    text = sentence(effect, what=contrast.label, outcome=contrast.outcome_text, context=context_of(own, runs))
    why = withdrawal(effect, len(runs.failed)) if withdrawn else ""
    return replace(
        started,
        sentence=" ".join(part for part in (text, why, contrast.note) if part),
        estimated=effect,
        withdrawn=withdrawn,
        superiority=probability_of_superiority(runs.values),
        detectable=None if grown or effect.verdict == "pilot" else detectable_range(runs.values, family=family),
        by_epoch=[] if measure is None else effect_by_epoch(curves, runs, outcome=measure),
        over_classes=wide,
        caveats=caveats(own, contrast, effect, runs, wide),
        mechanism=mechanism_effects(curves, runs),
    )


def _other(rows: pa.Table, contrast: Contrast, *, grown: bool) -> Finding:
    """An interval without a verdict; of a control a sentence on how far equal runs differ."""
    started = _started(rows, contrast)
    runs, own = started.runs, _of_cells(rows, contrast)
    if runs is None:
        return started
    said, control = "", contrast.family == "control"
    if grown and not control and len(runs.places) < FIRST_LOOK:
        return replace(started, sentence=_no_second_look(runs, contrast, own))
    found = t_interval(runs.values, anytime=grown and not control)
    if control:
        said = control_sentence(
            runs.pairs,
            sesoi=contrast.sesoi,
            what=f"{contrast.treatment} against {contrast.control}",
            outcome=contrast.outcome_text,
            context=context_of(own, runs),
        )
        said = f"{said} {contrast.note}".strip()
    return replace(started, sentence=said, estimated=found, caveats=caveats(own, contrast, found, runs, None))


def _started(rows: pa.Table, contrast: Contrast) -> Finding:
    """The runs of a contrast, or why there are none to speak of."""
    origin = distinct(_of_cells(rows, contrast), "origin") or "unknown"
    try:
        return Finding(contrast, origin=origin, runs=cell_runs(rows, contrast))
    except Refused as error:
        absent = error.absent if isinstance(error, Unfinished) else frozenset()
        text = f"{_not_estimated(contrast)} {' '.join(error.faults)}"
        return Finding(contrast, text, origin, unfinished=absent)


def _of_cells(rows: pa.Table, contrast: Contrast) -> pa.Table:
    return rows.filter(pc.is_in(rows["cell_id"], pa.array(contrast.weights, pa.string())))


def _not_estimated(contrast: Contrast) -> str:
    return f"Not estimated: the effect of {contrast.label.removesuffix(',')}."


def _no_second_look(runs: CellRuns, contrast: Contrast, own: pa.Table) -> str:
    """Why replicates that were added after a look give no interval yet."""
    mean = number(float(runs.values.mean()), signed=True)
    what = capital(contrast.label.removesuffix(","))
    return (
        f"{what}: {contrast.outcome_text} differed by {mean} in the mean ({context_of(own, runs)}), without an "
        f"interval: replicates were added after the first could be looked at, and {len(runs.places)} are not enough "
        f"replicates to look twice; that takes {FIRST_LOOK}."
    )


def _supported(effect: Effect, runs: CellRuns) -> Effect:
    """Without a claim of equivalence that failed runs made: two that fail alike differ by nothing."""
    if not runs.failed or not effect.equivalent:
        return effect
    left = runs.without_failures()
    if left.size > 1:
        inner = t_interval(left, level=1 - 2 * ALPHA / effect.family, anytime=effect.anytime)
        if -effect.sesoi < inner.ci_low and inner.ci_high < effect.sesoi:
            return effect
    verdict = {"equivalent": "no_evidence", "below_sesoi": "unsettled"}.get(effect.verdict, effect.verdict)
    return replace(effect, verdict=verdict, equivalent=False)


def _each_measure_once(found: Sequence[Finding]) -> list[Finding]:
    """Contrasts of the same cells on several outcomes share what the embeddings look like: the first one has it."""
    seen: set[tuple[tuple[str, float], ...]] = set()
    kept = []
    for finding in found:
        cells = tuple(sorted(finding.contrast.weights.items()))
        kept.append(replace(finding, mechanism=[]) if cells in seen else finding)
        seen |= {cells} if finding.mechanism else set()
    return kept


def _each_line_once(found: Sequence[Finding]) -> list[Finding]:
    """What is said of a cell is not said again for every contrast that it is in."""
    said: set[str] = set()
    kept = []
    for finding in found:
        kept.append(replace(finding, caveats=[line for line in finding.caveats if line not in said]))
        said |= set(finding.caveats)
    return kept
