"""What the confirm stage supports for each planned contrast: an effect and its caveats, or the reasons for none."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc
from statsmodels.stats.multitest import multipletests

from sweeps.analysis.stats.caveats import caveats
from sweeps.analysis.stats.contrasts import CellBlocks, EpochEffect, contrast_effect, effect_by_epoch
from sweeps.analysis.stats.derived import derived
from sweeps.analysis.stats.descriptive import distinct
from sweeps.analysis.stats.effects import ALPHA, MIN_BLOCKS, Effect, blocks_needed, with_adjusted_p
from sweeps.analysis.stats.mechanism import MechanismEffect, mechanism_effects
from sweeps.analysis.stats.refusals import Refused
from sweeps.analysis.stats.robustness import Robustness, robustness
from sweeps.analysis.stats.stored_plan import FAMILIES, Contrast
from sweeps.analysis.wording import control_sentence, sentence
from sweeps.results.columns import WHILE_TRAINING


@dataclass(frozen=True, slots=True)
class Finding:
    """One planned contrast and what became of it."""

    contrast: Contrast
    verdict: str
    """The sentence: an effect, or that none is claimed and why."""

    note: str
    """How the cells' settings were chosen: `drop-in`, `best of search`, `best of tune`."""

    result: tuple[Effect, CellBlocks] | None
    by_epoch: list[EpochEffect] = field(default_factory=list)
    sensitivity: list[str] = field(default_factory=list)
    p_holm: float | None = None
    """p adjusted for all primaries of the plan; None for other contrasts."""

    robustness: Robustness | None = None
    mechanism: list[MechanismEffect] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Code and estimand, or the contrast's cells where the plan has no code: short, for tables and figures."""
        one = self.contrast
        return f"{one.code} {one.estimand}" if one.code else f"{one.treatment} − {one.control}"


def findings(
    trials: pa.Table, curves: pa.Table, contrasts: Sequence[Contrast], eval_groups: pa.Table | None = None
) -> list[Finding]:
    """Each contrast on the confirm rows, primaries first; none if there are no confirm rows at all.

    Args:
        trials: with the column `stage`.
        curves: with the column `stage`.
        contrasts: of the plan; those of `derived` are added.
        eval_groups: with `stage`: per-class parts of the test AUC, for the interval over blocks x classes.
    """
    confirm = trials.filter(pc.equal(trials["stage"], "confirm"))
    if not confirm.num_rows:
        return []
    ordered = sorted([*contrasts, *derived(contrasts)], key=lambda contrast: FAMILIES.index(contrast.family))
    primaries = sum(contrast.family == "primary" for contrast in ordered)
    found = _each_measure_once([_finding(confirm, curves, contrast, eval_groups, primaries) for contrast in ordered])
    losses = set(pc.unique(confirm["loss"]).to_pylist())
    setting = ", ".join([distinct(confirm, "dataset"), *(losses if len(losses) == 1 else ())])
    needed = blocks_needed(max(1, primaries))
    return _each_line_once([_worded(finding, setting, needed) for finding in _held_to_holm(found, needed)])


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values in the order given (Holm 1979): holding them to a level holds the family-wise error to it."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def _finding(
    confirm: pa.Table, curves: pa.Table, contrast: Contrast, eval_groups: pa.Table | None, primaries: int
) -> Finding:
    own = confirm.filter(pc.is_in(confirm["cell_id"], pa.array(contrast.weights, pa.string())))
    note = distinct(own, "origin") or "unknown"
    try:
        effect, blocks = contrast_effect(confirm, contrast)
    except Refused as error:
        what = contrast.label.removesuffix(",")
        return Finding(contrast, f"Not estimated: the effect of {what}. {' '.join(error.faults)}", note, None)
    held = primaries if contrast.family == "primary" else 1
    measure = WHILE_TRAINING.get(contrast.outcome)
    looks = robustness(blocks, eval_groups, outcome=contrast.outcome, adjusted_for=held)
    return Finding(
        contrast,
        verdict="",
        note=note,
        result=(effect, blocks),
        by_epoch=[] if measure is None else effect_by_epoch(curves, blocks, outcome=measure),
        sensitivity=caveats(own, contrast, effect, blocks, looks),
        robustness=looks,
        mechanism=mechanism_effects(curves, blocks) if contrast.family == "primary" else [],
    )


def _held_to_holm(found: list[Finding], needed: int) -> list[Finding]:
    """Primaries with adjusted p; one that was refused still counts, since the family is that of the plan."""
    primaries = [finding for finding in found if finding.contrast.family == "primary"]
    adjusted = holm([1.0 if finding.result is None else finding.result[0].p_value for finding in primaries])
    held = []
    for finding, p_holm in zip(primaries, adjusted, strict=True):
        if finding.result is None:
            held.append(finding)
            continue
        effect, blocks = finding.result
        held.append(
            replace(
                finding,
                p_holm=p_holm,
                result=(_supported(with_adjusted_p(effect, p_holm, needed=needed), blocks), blocks),
            )
        )
    others = [finding for finding in found if finding.contrast.family != "primary"]
    return held + [
        one if one.result is None else replace(one, result=(_supported(*one.result), one.result[1])) for one in others
    ]


def _supported(effect: Effect, blocks: CellBlocks) -> Effect:
    """Without a claim of equivalence that failed runs made: two that fail alike differ by nothing."""
    without = blocks.without_failures(sesoi=effect.sesoi) if blocks.failed else effect
    if effect.verdict == "equivalent" and (without is None or without.verdict != "equivalent"):
        return replace(effect, verdict="no_evidence")
    return effect


def _worded(finding: Finding, setting: str, needed: int) -> Finding:
    """With the sentence that the effect supports."""
    if finding.result is None:
        return finding
    contrast, (effect, blocks) = finding.contrast, finding.result
    unit_note = f"{setting}, {finding.note}"
    if contrast.family == "control":
        text = control_sentence(
            blocks.values,
            sesoi=contrast.sesoi,
            what=f"{contrast.treatment} against {contrast.control}",
            outcome=contrast.outcome_text,
            unit_note=unit_note,
        )
    else:
        least = needed if contrast.family == "primary" else MIN_BLOCKS
        text = sentence(
            effect,
            what=contrast.label,
            outcome=contrast.outcome_text,
            unit_note=unit_note,
            needed=least,
            alpha=ALPHA,
            p_holm=finding.p_holm,
        )
    said = f"Exploratory: {text}" if contrast.family == "exploratory" else text
    return replace(finding, verdict=f"{said} {contrast.note}".strip())


def _each_measure_once(found: list[Finding]) -> list[Finding]:
    """Contrasts of the same cells on several outcomes share what the embeddings look like: the first one has it."""
    seen: set[tuple[tuple[str, float], ...]] = set()
    kept = []
    for finding in found:
        cells = tuple(sorted(finding.contrast.weights.items()))
        kept.append(replace(finding, mechanism=[]) if cells in seen else finding)
        seen |= {cells} if finding.mechanism else set()
    return kept


def _each_line_once(found: list[Finding]) -> list[Finding]:
    """What is said of a cell is not said again for every contrast that it is in."""
    said: set[str] = set()
    kept = []
    for finding in found:
        kept.append(replace(finding, sensitivity=[line for line in finding.sensitivity if line not in said]))
        said |= set(finding.sensitivity)
    return kept
