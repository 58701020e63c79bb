"""The descriptive report of an Optuna study: what its database supports, and what it does not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweeps.analysis.document import Picture, Report, Section, Table
from sweeps.analysis.figures.importances import READING, draw_importances, importance_data
from sweeps.analysis.numbers import ABSENT, or_absent, plain
from sweeps.analysis.optuna_studies.counts import (
    ENDINGS,
    NOT_SET,
    REASONS,
    Arms,
    arms,
    completed,
    endings,
    feasible,
    pruned_after,
)
from sweeps.analysis.optuna_studies.study_file import StoredStudy, read_study
from sweeps.analysis.optuna_studies.values import NOT_COMPLETED, draw_values, values_data
from sweeps.analysis.report.render import write_pages
from sweeps.analysis.stats.description.importances import EVALUATORS, MAX_LEVELS, Importances, remarks, study_shares

MAX_PICTURES: Final = 6
"""Figures of values at the levels of a parameter."""

MAX_BEST: Final = 4
"""Best trials that are named, with their settings."""

HOLLOW: Final = "Hollow marks are last values of trials that did not complete: not what they would have reached."


def render_study(target: str, output: Path | None = None) -> Path:
    """Write the descriptive report of an Optuna study, named as `read_study` does, and return its report.html.

    Args:
        target: `PATH` or `PATH#NAME`.
        output: folder to write to; None: `<stem of the file>-report` in the current one.

    Raises:
        Faults: as `read_study` does, or `output` is not a folder.
    """
    study = read_study(target)
    return write_pages(output or Path(f"{study.path.stem}-report"), optuna_report(study))


def optuna_report(study: StoredStudy) -> Report:
    """Counts, reasons against comparing, best trials, figures and importances; no effect is ever claimed."""
    found = arms(study.trials)
    n, counts = len(study.trials), ", ".join(f"{n} {ending}" for ending, n in endings(study.trials).items())
    sections = [
        _best(study),
        _supports(found),
        _levels(found),
        _values(study, found),
        _pruning(study),
        _importances(study),
        _provenance(study),
    ]
    return Report(
        study=f"Optuna study {study.study.study_name}",
        question="",
        verdicts=[f"Nothing is claimed about an effect: {n} trial{'s' * (n != 1)} of an Optuna study ({counts})."],
        sections=[s for s in sections if s.paragraphs or s.tables or s.pictures],
    )


def _best(study: StoredStudy) -> Section:
    shown = study.best[:MAX_BEST]
    rows = [
        [name, *(plain(trial.values[i]) for trial in shown), f"{direction.name.lower()}d", ABSENT, ABSENT]
        for i, (name, direction) in enumerate(_objectives(study))
    ]
    for name in sorted({name for trial in study.trials for name in trial.params}):
        best = (plain(trial.params[name]) if name in trial.params else NOT_SET for trial in shown)
        rows.append([name, *best, *_visited(study.trials, name)])
    header = ["", *(f"trial {trial.number}" for trial in shown), "range", "visited", "trials"]
    return Section("Best trials", [_best_line(study)], tables=[Table(header, rows)])


def _best_line(study: StoredStudy) -> str:
    done = completed(study.trials)
    if not done:
        return "No trial completed, so there is no best one."
    limits = ""
    if any(trial.constraints for trial in done):
        limits = f" {sum(map(feasible, done))} of {len(done)} keep every constraint; the others do not count."
    if not study.best:
        return f"No completed trial keeps every constraint, so there is no best one.{limits}"
    numbers = [str(trial.number) for trial in study.best]
    which = f"trial{'s' * (len(numbers) > 1)} {', '.join(numbers[:MAX_BEST])}"
    if len(numbers) > MAX_BEST:
        which += f" and {len(numbers) - MAX_BEST} more"
    ((name, _), *others) = _objectives(study)
    how = f"{name} {plain(study.best[0].values[0])}" if not others else "the Pareto front"
    return f"Best of {len(done)} completed trial{'s' * (len(done) > 1)}: {which}, {how}.{limits}"


def _objectives(study: StoredStudy) -> list[tuple[str, StudyDirection]]:
    directions = study.study.directions
    default = ["value"] if len(directions) == 1 else [f"value {i}" for i in range(len(directions))]
    return list(zip(study.study.metric_names or default, directions, strict=True))


def _visited(trials: Sequence[FrozenTrial], name: str) -> list[str]:
    """Range asked for, range met, and number of trials that have the parameter."""
    own = [trial for trial in trials if name in trial.params]
    asked: list[Any] = [trial.distributions[name] for trial in own]
    met = [trial.params[name] for trial in own]
    if any(isinstance(distribution, CategoricalDistribution) for distribution in asked):
        offered = dict.fromkeys(str(choice) for d in asked for choice in getattr(d, "choices", ()))
        return [", ".join(offered), ", ".join(sorted(set(map(str, met)))), str(len(own))]
    ranges = f"{plain(min(d.low for d in asked))} to {plain(max(d.high for d in asked))}"
    ranges += ", log" * any(d.log for d in asked)
    if len({(d.low, d.high) for d in asked}) > 1:
        ranges += ", changed on the way"
    return [ranges, f"{plain(min(met))} to {plain(max(met))}", str(len(own))]


def _supports(found: Sequence[Arms]) -> Section:
    lines = ["Supported, as a description: the best trials, the ranges visited, and where trials were pruned."]
    refused = [arm.parameter for arm in found if arm.against]
    if refused:
        lines.append(f"Not supported: comparing the levels of {', '.join(refused)}, for these reasons.")
    lines += [
        f"Nothing in the file stands against comparing the levels of {arm.parameter}: their paired differences over "
        f"{arm.shared} settings that several levels completed may be compared."
        for arm in found
        if not arm.against
    ]
    if not found:
        lines.append("No parameter has levels, so there are no arms to compare.")
    rows = []
    for reason, meaning in REASONS.items():
        where = {arm.parameter: arm.against[reason] for arm in found if reason in arm.against}
        if where:
            names = [f"{name}{f' ({at})' * bool(at)}" for name, at in where.items()]
            rows.append(
                [f"{reason}: {meaning}", "all" if names == [arm.parameter for arm in found] else ", ".join(names)]
            )
    tables = [Table(["reason", "parameters"], rows)] if rows else []
    return Section("What it supports", lines, tables=tables)


def _levels(found: Sequence[Arms]) -> Section:
    names = [
        ending for ending in ENDINGS.values() if any(ending in own for arm in found for own in arm.levels.values())
    ]
    rows = [
        [f"{arm.parameter} = {level}", *(str(own.get(ending, 0)) for ending in names), str(sum(own.values()))]
        for arm in found
        for level, own in arm.levels.items()
    ]
    return Section("Trials by level and ending", tables=[Table(["level", *names, "trials"], rows)] if rows else [])


def _values(study: StoredStudy, found: Sequence[Arms]) -> Section:
    objectives = [(i, name) for i, (name, _) in enumerate(_objectives(study))]
    drawn = [(i, name, arm) for arm in found if len(arm.levels) <= MAX_LEVELS for i, name in objectives][:MAX_PICTURES]
    each = [values_data(study, i, name) for i, name in objectives]
    each += [values_data(study, i, name, arm) for i, name, arm in drawn]
    pictures = [
        Picture(f"values-{i}", draw_values(data), "Each mark is a trial.") for i, data in enumerate(each) if data.points
    ]
    hollow = any(NOT_COMPLETED in data.points for data in each)
    return Section("Values", [HOLLOW] * hollow, pictures=pictures)


def _pruning(study: StoredStudy) -> Section:
    rows = [["no step" if step is None else str(step), str(n)] for step, n in pruned_after(study.trials).items()]
    return Section("Pruning", tables=[Table(["last step reported", "pruned trials"], rows)] if rows else [])


def _importances(study: StoredStudy) -> Section:
    # fANOVA is of one objective; PED-ANOVA of several is of reaching the Pareto front.
    evaluators = EVALUATORS if len(study.study.directions) == 1 else EVALUATORS[:1]
    n = len(completed(study.trials))
    given = [
        Importances(name, n, shares, {}, reason)
        for name in evaluators
        for shares, reason in [study_shares(study.study, name)]
    ]
    told = any(item.shares for item in given)
    data = importance_data(given, dataset="") if told else None
    pictures = []
    if data is not None:
        data = replace(data, caption=f"n = {n} completed trials; study {study.study.study_name}")
        pictures.append(Picture("importances", draw_importances(data), READING))
    return Section("Importance of the settings", remarks(given), pictures=pictures)


def _provenance(study: StoredStudy) -> Section:
    starts = [trial.datetime_start for trial in study.trials if trial.datetime_start is not None]
    ends = [trial.datetime_complete for trial in study.trials if trial.datetime_complete is not None]
    rows = [
        ["file", study.path.name],
        ["sha256 of the file", study.sha256],
        ["study", study.study.study_name],
        ["first trial began", _time(min(starts, default=None))],
        ["last trial ended", _time(max(ends, default=None))],
        ["read with", f"optuna {optuna.__version__}"],
    ]
    note = ["The last line of the journal is cut off; Optuna passes it over."] * study.cut_off
    return Section("Provenance", note, tables=[Table(["", "value"], rows)])


def _time(moment: datetime | None) -> str:
    return or_absent(moment, lambda known: known.isoformat(sep=" ", timespec="seconds"))
