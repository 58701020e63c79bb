"""What the confirm stage supports for each planned contrast: an effect and its caveats, or the reasons for none."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from statsmodels.stats.multitest import multipletests

from sweeps.analysis.contrasts import (
    COMPOSITE_AUC,
    CellBlocks,
    EpochEffect,
    Refused,
    effect_by_epoch,
    paired_effect_from_trials,
)
from sweeps.analysis.descriptive import rows_of, trials_by_stage, unfinished
from sweeps.analysis.estimates import Effect, with_adjusted_p
from sweeps.analysis.plan import Contrast
from sweeps.analysis.wording import interval, number, p_text, sentence

OUTCOME_WORDS: Final = {"test_auc": "AUC"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One planned contrast and what became of it."""

    contrast: Contrast
    verdict: str
    """The sentence: an effect, or that none is claimed and why."""

    note: str
    """How the arms' settings were chosen: `drop-in`, `best of search`."""

    result: tuple[Effect, CellBlocks] | None
    by_epoch: list[EpochEffect]
    sensitivity: list[str]


def findings(trials: pa.Table, curves: pa.Table, contrasts: list[Contrast]) -> list[Finding]:
    """Each contrast on the confirm rows; none if there are no confirm rows at all."""
    confirm = trials.filter(pc.equal(trials["stage"], "confirm"))
    if not confirm.num_rows:
        return []
    found = [_finding(confirm, curves, contrast) for contrast in contrasts]
    rows = confirm.to_pylist()
    return _judged(found, f"{_distinct(rows, 'dataset')}, {_distinct(rows, 'loss')}")


def contrast_rows(found: list[Finding]) -> list[dict[str, Any]]:
    """Rows of the table `contrasts`, in the order of the plan; refused contrasts have none."""
    rows = []
    for finding in found:
        if finding.result is None:
            continue
        contrast, effect = finding.contrast, finding.result[0]
        names = {"estimand": contrast.estimand, "control": contrast.control, "treatment": contrast.treatment}
        rows.append(names | {"metric": contrast.outcome} | asdict(effect) | {"sentence": finding.verdict})
    return rows


def no_effect_claimed(trials: pa.Table, curves: pa.Table) -> str:
    """The sentence of a sweep without a single contrast."""
    counts = trials_by_stage(trials, curves)
    there = ", ".join(f"{n} {stage} trial{'s' * (n != 1)}" for stage, n in counts.items())
    if set(counts) == {"search"}:
        return (
            f"Nothing is claimed about an effect: only the adaptive search has run ({there}), which does not compare."
        )
    if "confirm" not in counts:
        return f"Nothing is claimed about an effect: no confirm trial has run yet ({there})."
    if any(stage == "confirm" for stage, _ in unfinished(trials, curves)):
        return f"Nothing is claimed about an effect yet: the confirm stage has not finished ({there})."
    return f"Nothing is claimed about an effect: the plan names no contrast ({there})."


def scope(trials: pa.Table, found: list[Finding]) -> list[str]:
    """What the findings can and cannot say, from where the arms' settings came and what was run."""
    lines = []
    for note in sorted({finding.note for finding in found}):
        if note == "drop-in":
            lines.append(
                "Drop-in: nothing was tuned, so this says what adding the treatment does at these settings, not what "
                "it does once each arm is tuned."
            )
        elif note == "best of search":
            lines.append(f"Best of search: {_tuned_by(trials)}")
        else:
            lines.append(f"The arms' settings come from: {note}.")
    if "study" in {row["triplets"] for row in trials.to_pylist()}:
        lines.append(
            "Validation AUC is optimistic: with triplets=study most negatives of the validation triplets are training "
            "images. The test split shares no image with training."
        )
    lines += [_arms_differ(trials, finding.contrast) for finding in found if finding.result is not None]
    if any(row["stage"] == "search" for row in trials.to_pylist()):
        lines.append(
            "Search only describes: its sampler visits the arms unevenly and ASHA stops slow starters, so nothing "
            f"about an effect is claimed from it. Trials per arm: {_per_arm(trials)}."
        )
    confirm = rows_of(trials, "confirm")
    if confirm:
        ran = {name: _distinct(confirm, name) for name in ("dataset", "backbone", "loss", "epochs", "batch_size")}
        setting = ", ".join(f"{name} {values}" for name, values in ran.items())
        lines.append(
            "The interval is over blocks (fresh initialisation, data order, augmentation, and draw of training and "
            f"validation images and triplets) with one fixed test split. It does not reach beyond what ran: {setting}."
        )
    return lines


def _finding(confirm: pa.Table, curves: pa.Table, contrast: Contrast) -> Finding:
    cells = {"control_cell": contrast.control, "treatment_cell": contrast.treatment}
    rows = [row for row in confirm.to_pylist() if row["cell_id"] in cells.values()]
    note = _distinct(rows, "origin") or "unknown"
    try:
        effect, blocks = paired_effect_from_trials(confirm, outcome=contrast.outcome, sesoi=contrast.sesoi, **cells)
    except Refused as error:
        reasons = " ".join(error.faults)
        return Finding(
            contrast, f"Not estimated: the effect of {contrast.treatment_label}. {reasons}", note, None, [], []
        )
    by_epoch = effect_by_epoch(curves, confirm, sesoi=contrast.sesoi, **cells)
    sensitivity = _sensitivity(blocks, contrast) + _collapses(confirm, contrast) + _disagreement(effect)
    return Finding(contrast, "", note, (effect, blocks), by_epoch, sensitivity)


def _judged(found: list[Finding], setting: str) -> list[Finding]:
    """Findings with verdicts, which need the p values of all estimated contrasts: primaries are held to Holm's."""
    effects = [finding.result[0] for finding in found if finding.result is not None]
    adjusted = iter(multipletests([effect.p_value for effect in effects], method="holm")[1] if effects else [])
    judged = []
    for finding in found:
        if finding.result is None:
            judged.append(finding)
            continue
        effect = with_adjusted_p(finding.result[0], float(next(adjusted)))
        verdict = sentence(
            effect,
            what=finding.contrast.treatment_label,
            outcome=OUTCOME_WORDS.get(finding.contrast.outcome, finding.contrast.outcome),
            unit_note=f"{setting}, {finding.note}",
        )
        judged.append(replace(finding, verdict=verdict, result=(effect, finding.result[1])))
    return judged


def _collapses(confirm: pa.Table, contrast: Contrast) -> list[str]:
    """Runs whose embeddings had collapsed at their last row: in confirm a label, not an ending."""
    cells = (contrast.control, contrast.treatment)
    collapsed = Counter(r["cell_id"] for r in confirm.to_pylist() if r["collapsed"] and r["cell_id"] in cells)
    if not collapsed:
        return []
    counts = ", ".join(f"{cell} {collapsed[cell]}" for cell in cells)
    return [f"Embeddings had collapsed at the last epoch of: {counts} runs. They count with the AUC they reached."]


def _disagreement(effect: Effect) -> list[str]:
    """The interval assumes normal differences and the test does not, so now and then they part."""
    includes_zero = effect.ci_low <= 0 <= effect.ci_high
    if effect.verdict == "pilot" or includes_zero == (effect.p_value > 0.05):
        return []
    which = "includes" if includes_zero else "excludes"
    return [
        f"Interval and test disagree: the 95 % interval {which} 0 while the sign-flip test gives "
        f"p = {p_text(effect.p_value)}. "
        "A difference counts as detected only where both agree; one extreme block can part them."
    ]


def _sensitivity(blocks: CellBlocks, contrast: Contrast) -> list[str]:
    """What the composite outcome of failed runs does to the estimate; nothing if no run failed."""
    if not blocks.failed:
        return []
    total = len(blocks.blocks)
    lines = []
    for cell in (contrast.control, contrast.treatment):
        reasons = Counter(reason for failed, _, reason in blocks.failed if failed == cell)
        if reasons:
            how = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
            lines.append(f"{cell}: {how} of {total} runs, counted as AUC {number(COMPOSITE_AUC, decimals=1)}.")
    without = blocks.without_failures(sesoi=contrast.sesoi)
    if without is None:
        return [*lines, "Fewer than two blocks remain without them."]
    return [*lines, f"Without those blocks the difference is {interval(without)} ({without.n} blocks)."]


def _arms_differ(trials: pa.Table, contrast: Contrast) -> str:
    """Settings in which the two cells differ, read from the configurations that ran."""
    rows = {row["cell_id"]: row for row in rows_of(trials, "confirm")}
    control, treatment = (json.loads(rows[cell]["config_json"]) for cell in (contrast.control, contrast.treatment))
    names = sorted(name for name in control if name != "seed" and control[name] != treatment.get(name))
    return f"{contrast.treatment} and {contrast.control} differ in: {', '.join(names) or 'nothing'}."


def _tuned_by(trials: pa.Table) -> str:
    arms = Counter(row["cell_id"] for row in rows_of(trials, "search"))
    if not arms:
        return "the arms were tuned by a search whose trials are not in this folder."
    unequal = "unequal numbers of trials per arm" if len(set(arms.values())) > 1 else "equal numbers of trials per arm"
    return (
        f"the arms were tuned by an adaptive search with {unequal} ({_per_arm(trials)}). A difference between the "
        "arms therefore includes how well each was tuned."
    )


def _per_arm(trials: pa.Table) -> str:
    search = rows_of(trials, "search")
    arms = Counter(row["cell_id"] for row in search)
    done = Counter(row["cell_id"] for row in search if row["end_reason"] == "completed")
    return "; ".join(f"{arm} {n}, of which {done[arm]} completed" for arm, n in sorted(arms.items()))


def _distinct(rows: list[dict[str, Any]], name: str) -> str:
    return ", ".join(sorted({str(row[name]) for row in rows if row[name] is not None}))
