"""The section on planned contrasts: their effects."""

from typing import Final

import numpy as np

from sweeps.analysis.document import Section, Table, transposed
from sweeps.analysis.numbers import (
    ABSENT,
    decimals_for,
    ends,
    estimate_texts,
    interval,
    number,
    or_absent,
    p_text,
    sesoi_text,
)
from sweeps.analysis.stats.findings import Finding
from sweeps.analysis.stats.stored_plan import FAMILIES
from sweeps.results.columns import named

OTHER_INTERVALS: Final = (
    "Other intervals of the primaries. BCa covers too little below about ten blocks. Blocks x classes also draws the "
    "classes of the split again, and so reaches to other classes. On the logit scale a ceiling is no bound."
)
EXPLORATORY: Final = "Exploratory: not adjusted for their number."
CONTROLS: Final = (
    "A/A control: pairs of runs of the same computation, but for the order of its additions. How far they differ is "
    "what training makes of rounding"
)


def effects(found: list[Finding]) -> Section:
    """Primaries with verdicts, then the second looks at them, then the exploratory contrasts, then A/A controls.

    Contrasts of one outcome share a table.
    """
    estimated = [finding for finding in found if finding.result is not None]
    tables = []
    for outcome in dict.fromkeys(finding.contrast.outcome for finding in estimated):
        own = {
            f: [one for one in estimated if (one.contrast.outcome, one.contrast.family) == (outcome, f)]
            for f in FAMILIES
        }
        what = "" if outcome == "test_auc" else f": {named(outcome)}"
        tables += [*_primary(own["primary"], what), *_other_intervals(own["primary"], what)]
        tables += [*_exploratory(own["exploratory"], what), *_controls(own["control"], what)]
    families = {finding.contrast.family for finding in estimated}
    notes = {"primary": OTHER_INTERVALS, "exploratory": EXPLORATORY, "control": _noise(estimated)}
    return Section("Effect", [note for family, note in notes.items() if family in families], tables=tables)


def _primary(found: list[Finding], what: str) -> list[Table]:
    """One column per contrast: these numbers fit a phone downwards, not across."""
    columns: dict[str, list[str]] = {}
    for finding in found:
        assert finding.result is not None
        effect, looks = finding.result[0], finding.robustness
        columns[finding.name] = [
            *estimate_texts(effect),
            p_text(effect.p_value),
            or_absent(finding.p_holm, p_text),
            str(effect.n),
            f"±{sesoi_text(effect.sesoi)}",
            "yes" if effect.equivalent else "no",
            ABSENT if looks is None else number(looks.minimum_detectable, decimals=decimals_for(effect)),
            effect.verdict.replace("_", " "),
        ]
    names = ["effect", "95 % interval", "p (sign flip)", "p (Holm)", "n (blocks)", "SESOI"]
    return transposed(
        f"primary{what}", [*names, "90 % interval inside SESOI", "detectable (power .8)", "verdict"], columns
    )


def _other_intervals(found: list[Finding], what: str) -> list[Table]:
    columns = {
        finding.name: [
            or_absent(looks.bca, ends),
            or_absent(looks.crossed, ends),
            or_absent(looks.logit, interval),
        ]
        for finding in found
        if (looks := finding.robustness) is not None
    }
    names = ["BCa", "blocks x classes", "logit AUC"]
    measured = [i for i in range(len(names)) if any(column[i] != ABSENT for column in columns.values())]
    return transposed(
        f"other intervals{what}",
        [names[i] for i in measured],
        {name: [column[i] for i in measured] for name, column in columns.items()},
    )


def _exploratory(found: list[Finding], what: str) -> list[Table]:
    rows = []
    for finding in found:
        assert finding.result is not None
        rows.append([finding.name, *estimate_texts(finding.result[0]), str(finding.result[0].n)])
    return [Table([f"exploratory{what}", "effect", "95 % interval", "n"], rows)] if rows else []


def _controls(found: list[Finding], what: str) -> list[Table]:
    rows = []
    for finding in found:
        assert finding.result is not None
        effect, blocks = finding.result
        sizes = (float(np.sqrt(np.mean(np.square(blocks.values)))), float(np.abs(blocks.values).max()))
        rows.append(
            [
                finding.contrast.estimand,
                *(number(x, decimals=5) for x in sizes),
                str(effect.n),
            ]
        )
        rows[-1].insert(3, sesoi_text(effect.sesoi))
    return [Table([f"A/A control{what}", "root mean square", "largest", "SESOI", "n"], rows)] if rows else []


def _noise(found: list[Finding]) -> str:
    """How far two runs that compute the same lie apart, beside the SESOI; by the outcome of the first A/A control."""
    controls = [finding for finding in found if finding.contrast.family == "control"]
    own = [finding for finding in controls if finding.contrast.outcome == controls[0].contrast.outcome]
    results = [finding.result for finding in own if finding.result is not None]
    if not results:
        return ""
    differences = np.concatenate([blocks.values for _, blocks in results])
    apart, sesoi = float(np.sqrt(np.mean(np.square(differences)))), results[0][0].sesoi
    mean_square = number(apart) if apart >= 0.0005 else "<.001"
    size = f"root mean square {mean_square} over {differences.size} pairs, {apart / sesoi:.1f} x the SESOI"
    if apart < sesoi:
        return f"{CONTROLS}: {size}."
    return f"{CONTROLS}: {size}. No single pair of runs can show an effect of that size here; means over blocks can."
