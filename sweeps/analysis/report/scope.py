"""What the findings can and cannot say: where the settings came from, what was run, why nothing is claimed."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row
from sweeps.analysis.report.plain_answer import joined
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.description.descriptive import SAMPLED, rows_of, selected_by, trials_by_stage, unfinished
from sweeps.analysis.stats.reading.pairing import place_of
from sweeps.analysis.stats.reading.stored_plan import Contrast
from sweeps.analysis.wording import cell_name
from sweeps.results.columns import named

UNTUNED: Final = (
    "Drop-in: nothing was tuned, so this says what adding the treatment does at these settings, not what it does once "
    "each arm is tuned."
)


def no_effect_claimed(trials: pa.Table, curves: pa.Table, found: Sequence[Finding]) -> str:
    """The sentence of a sweep without a single primary contrast; `found`: its others."""
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
    which = "primary contrast" if found else "contrast"
    return f"Nothing is claimed about an effect: the plan names no {which} ({there})."


def scope(trials: pa.Table, found: list[Finding]) -> list[str]:
    """What the findings can and cannot say, from where the cells' settings came and what was run."""
    origins = sorted(
        {origin for finding in found for origin in finding.origin.split(", ") if finding.contrast.family != "common"}
    )
    lines = [_settings_from(origin, trials, alone=len(origins) == 1) for origin in origins]
    if "study" in _values(trials, "triplets"):
        lines.append(
            "Validation AUC is optimistic: with triplets=study most negatives of the validation triplets are training "
            "images. The test split shares no image with training."
        )
    names = ("cell_id", "config_json", "dataset", "backbone", "loss", "epochs", "batch_size")
    confirm = rows_of(trials, "confirm", ("replicate", "block", *names))
    confirm.sort(key=place_of)
    told = [f.contrast for f in found if f.runs is not None and f.contrast.family in ("primary", "control")]
    lines += cells_differ(confirm, told)
    if "search" in _values(trials, "stage"):
        lines.append(
            "Search only describes: its sampler visits the arms unevenly and ASHA stops slow starters, so nothing "
            f"about an effect is claimed from it. Trials per arm: {_per_arm(trials)}."
        )
    lines += _tested(trials)
    if confirm:
        setting = ", ".join(f"{name} {_distinct(confirm, name)}" for name in names[2:])
        lines += reach(found)
        lines.append(f"Nothing here extends beyond what was run: {setting}.")
    return lines


def _tested(trials: pa.Table) -> list[str]:
    """How the classes of the test images relate to those trained on, where they are others."""
    rows = rows_of(trials, "confirm", ("replicate", "block", "classes_tested"))
    rows = sorted((row for row in rows if row["classes_tested"]), key=place_of)
    if not rows:
        return []
    told = dict.fromkeys(row["classes_tested"] for row in rows)
    draw = "" if len(told) == 1 else f" (the first of {len(told)} draws)"
    return [f"Test images{draw}: {next(iter(told))}."]


def reach(found: Sequence[Finding]) -> list[str]:
    """What the primaries' intervals are over."""
    runs = next((one.runs for one in found if one.runs is not None and one.contrast.family == "primary"), None)
    if runs is None:
        return []
    if len(runs.places) > 1:
        tuning = "fresh tuning, " if runs.tuned else ""
        return [
            f"The intervals are for a repeat of the whole sweep, with {tuning}fresh seeds and a fresh draw of training "
            "and validation images, on the same test split."
        ]
    if runs.tuned:
        return [
            "The intervals are over seeds at one tuning, on one test split. Another tuning may land outside them; "
            "more seeds do not change that, more replicates do."
        ]
    return ["The intervals are over seeds at one draw of training and validation images, on one test split."]


def _settings_from(origin: str, trials: pa.Table, *, alone: bool) -> str:
    """`alone`: all cells have their settings from there."""
    if origin == "drop-in" and not alone:
        return (
            "Drop-in cells were not tuned: they show what adding the treatment does at the settings that were tuned "
            "without it."
        )
    if origin == "drop-in":
        return UNTUNED
    if origin == "best of search":
        return f"Best of search: {_searched(trials)}"
    if origin == "best of tune":
        return f"Best of tune: {_tuned(trials)}"
    return f"The cells' settings come from: {origin}."


def _searched(trials: pa.Table) -> str:
    arms = Counter(row["cell_id"] for row in rows_of(trials, "search", ("cell_id",)))
    if not arms:
        return "the arms were tuned by a search whose trials are not in this folder."
    unequal = "unequal numbers of trials per arm" if len(set(arms.values())) > 1 else "equal numbers of trials per arm"
    return (
        f"the arms were tuned by an adaptive search with {unequal} ({_per_arm(trials)}). A difference between the "
        "arms therefore includes how well each was tuned."
    )


def _tuned(trials: pa.Table) -> str:
    rows = rows_of(trials, "tune", ("cell_id", "replicate", "origin"))
    cells = Counter(row["cell_id"] for row in rows)
    if not cells:
        return "each cell runs at its best designed settings; the trials that found them are not in this folder."
    replicates = len({row["replicate"] or 1 for row in rows})
    points = ", ".join(str(n // replicates) for n in sorted(set(cells.values())))
    measure = named(selected_by(trials))
    where = f"in each of {replicates} replicates " if replicates > 1 else ""
    same = "the same " if all(row["origin"] != SAMPLED for row in rows) else ""
    return (
        f"{where}each cell was tried at {same}{points} settings, and the best by {measure} was trained on fresh seeds. "
        "The figures of the tuning show how near that may be to each cell's optimum."
    )


def cells_differ(confirm: Sequence[Row], contrasts: Sequence[Contrast]) -> list[str]:
    """Settings in which the cells of contrasts differ, a sentence for those that differ alike.

    Args:
        confirm: rows of `trials` with their configurations.
        contrasts: whose cells.
    """
    found: dict[str, list[Contrast]] = {}
    for contrast in contrasts:
        found.setdefault(", ".join(_differing_settings(confirm, contrast)) or "nothing", []).append(contrast)
    lines = []
    for settings, own in found.items():
        who = f"The cells compared for {joined(list(dict.fromkeys(one.name for one in own)), 'and')}"
        if len(own) == 1 and len(own[0].weights) == 2:
            who = f"{cell_name(own[0].treatment)} and {cell_name(own[0].control)}"
        lines.append(f"{who} differ in: {settings}.")
    return lines


def _differing_settings(confirm: Sequence[Row], contrast: Contrast) -> list[str]:
    """In any replicate, read from the configurations that ran."""
    by_replicate: dict[int, dict[str, Row]] = {}
    for row in confirm:
        if row["cell_id"] in contrast.weights:
            configs = by_replicate.setdefault(place_of(row).replicate, {})
            configs.setdefault(row["cell_id"], json.loads(row["config_json"]))
    return sorted({name for configs in by_replicate.values() for name in _differing(list(configs.values()))})


def _differing(configs: Sequence[Row]) -> list[str]:
    names = {name for config in configs for name in config} - {"seed", "split_seed", "views"}
    return [name for name in names if len({repr(config.get(name)) for config in configs}) > 1]


def _per_arm(trials: pa.Table) -> str:
    search = rows_of(trials, "search", ("cell_id", "end_reason"))
    arms = Counter(row["cell_id"] for row in search)
    done = Counter(row["cell_id"] for row in search if row["end_reason"] == "completed")
    return "; ".join(f"{cell_name(arm)} {n}, of which {done[arm]} completed" for arm, n in sorted(arms.items()))


def _distinct(rows: Sequence[Row], name: str) -> str:
    return ", ".join(sorted({str(row[name]) for row in rows if row[name] is not None}))


def _values(table: pa.Table, name: str) -> set[Any]:
    return set(pc.unique(table[name]).to_pylist())
