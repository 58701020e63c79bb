"""The descriptive report of an Optuna study: what its database supports, and what it does not."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from sweeps.analysis.document import Picture, Report, Section, Table
from sweeps.analysis.figures.importances import draw_importances, importance_data
from sweeps.analysis.numbers import or_absent, plain
from sweeps.analysis.optuna_studies import values
from sweeps.analysis.optuna_studies.counts import ENDINGS, NOT_SET, Arms, arms, completed, endings, pruned_after
from sweeps.analysis.optuna_studies.study_file import StoredStudy, read_study
from sweeps.analysis.report.render import write_pages
from sweeps.analysis.stats.description.importances import importances, remarks
from sweeps.analysis.wording import capital

OUTCOME: Final = "value of the objective"
MAX_PICTURES: Final = 6
"""Parameters whose levels are drawn."""


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
    """Counts, refusals, ranges, importances and figures of one study; no effect is ever claimed."""
    found = arms(study.trials, maximize=study.maximize)
    counts = endings(study.trials)
    there = ", ".join(f"{n} {ending}" for ending, n in counts.items())
    n = len(study.trials)
    sections = [
        _supports(study, found),
        _levels(found),
        _values(study, found),
        _pruning(study),
        _best(study),
        _importances(study),
        _provenance(study),
    ]
    return Report(
        study=f"Optuna study {study.name}",
        question="",
        verdicts=[f"Nothing is claimed about an effect: {n} trial{'s' * (n != 1)} of an Optuna study ({there})."],
        sections=[s for s in sections if s.paragraphs or s.tables or s.pictures],
    )


def _supports(study: StoredStudy, found: list[Arms]) -> Section:
    lines = [
        "Supported, as a description: the best configuration found, the ranges that were visited, where trials were "
        "pruned, and which settings went with the value among the trials that completed."
    ]
    for arm in found:
        levels = " against ".join(level.name for level in arm.levels)
        if arm.against:
            lines.append(
                f"Not supported: {arm.parameter}, {levels}. " + " ".join(f"{capital(r)}." for r in arm.against)
            )
        else:
            lines.append(
                f"Not refused by anything in the database: {arm.parameter}, {levels}, over {arm.shared} settings at "
                "which several levels completed. Their paired differences may be compared."
            )
    if not found:
        lines.append("No parameter has levels, so there are no arms to compare.")
    return Section("What this database supports", lines)


def _levels(found: list[Arms]) -> Section:
    tables = []
    for arm in found:
        names = [e for e in ENDINGS.values() if any(e in level.endings for level in arm.levels)]
        rows = [
            [level.name, *(str(level.endings.get(e, 0)) for e in names), str(level.trials), _text(level.best)]
            for level in arm.levels
        ]
        tables.append(Table([arm.parameter, *names, "trials", "best completed"], rows))
    note = "A best of more trials is better by chance alone: this column compares nothing."
    return Section("Trials per level and ending", [note] if tables else [], tables=tables)


def _values(study: StoredStudy, found: list[Arms]) -> Section:
    binary = next((arm for arm in found if len(arm.levels) == 2), found[0] if found else None)
    data = [values.by_number(study.trials, binary, study=study.name)]
    data += [values.by_level(study.trials, arm, study=study.name) for arm in found[:MAX_PICTURES]]
    names = ["values", *(f"values-{i}" for i in range(len(data) - 1))]
    pictures = [
        Picture(name, values.draw_values(one), values.READING)
        for name, one in zip(names, data, strict=True)
        if one.values
    ]
    return Section("Values", pictures=pictures)


def _pruning(study: StoredStudy) -> Section:
    after = pruned_after(study.trials)
    rows = [["no step" if step is None else str(step), str(n)] for step, n in after.items()]
    lines = [f"{sum(after.values())} of {len(study.trials)} trials were pruned."] if rows else []
    return Section("Pruning", lines, tables=[Table(["last step reported", "pruned trials"], rows)] if rows else [])


def _best(study: StoredStudy) -> Section:
    done = completed(study.trials)
    if not done:
        return Section("Settings", ["No trial completed, so there is no best one."])
    pick = max if study.maximize else min
    best = pick(done, key=lambda trial: (trial.value, -trial.number if study.maximize else trial.number))
    names = sorted({name for trial in study.trials for name in trial.params})
    rows = [[name, _text(best.params.get(name)), *_visited(study.trials, name)] for name in names]
    line = f"Best of {len(done)} completed trials: trial {best.number}, {OUTCOME} {_text(best.value)}."
    return Section("Settings", [line], tables=[Table(["", "best trial", "range", "visited", "trials"], rows)])


def _visited(trials: tuple[FrozenTrial, ...], name: str) -> list[str]:
    """Range asked for, range met, and number of trials that have the parameter."""
    own = [trial for trial in trials if name in trial.params]
    if any(isinstance(t.distributions[name], CategoricalDistribution) for t in own):
        offered = sorted({str(c) for t in own for c in getattr(t.distributions[name], "choices", ())})
        return [", ".join(offered), ", ".join(sorted({str(t.params[name]) for t in own})), str(len(own))]
    ranges: list[Any] = [t.distributions[name] for t in own]
    offered_range = f"{_text(min(r.low for r in ranges))} to {_text(max(r.high for r in ranges))}"
    if any(r.log for r in ranges):
        offered_range += ", log"
    values = [t.params[name] for t in own]
    return [offered_range, f"{_text(min(values))} to {_text(max(values))}", str(len(own))]


def _importances(study: StoredStudy) -> Section:
    heading = "Importance of the settings"
    done = [trial for trial in completed(study.trials) if np.isfinite(trial.value or 0.0)]
    names = sorted({name for trial in done for name in trial.params})
    rows = [{name: trial.params.get(name) for name in names} | {OUTCOME: trial.value} for trial in done]
    given = importances(rows, names, outcome=OUTCOME, maximize=study.maximize)
    lines = remarks(given)
    if not any(item.shares for item in given):
        return Section(heading, lines)
    data = importance_data(given, dataset=study.name)
    data = replace(data, caption=f"n = {len(done)} completed trials; study {study.name}")
    reading = (
        "Completed trials only: the sample is the sampler's and the survivors'. The evaluators answer different "
        "questions and may disagree."
    )
    return Section(heading, lines, pictures=[Picture("importances", draw_importances(data), reading)])


def _provenance(study: StoredStudy) -> Section:
    starts = [trial.datetime_start for trial in study.trials if trial.datetime_start is not None]
    ends = [trial.datetime_complete for trial in study.trials if trial.datetime_complete is not None]
    rows = [
        ["file", study.path.name],
        ["sha256 of the file", study.sha256],
        ["study", study.name],
        ["direction", "maximize" if study.maximize else "minimize"],
        ["first trial began", _time(min(starts, default=None))],
        ["last trial ended", _time(max(ends, default=None))],
        ["read with", f"optuna {optuna.__version__}"],
    ]
    return Section("Provenance", tables=[Table(["", "value"], rows)])


def _time(moment: datetime | None) -> str:
    return or_absent(moment, lambda known: known.isoformat(sep=" ", timespec="seconds"))


def _text(value: Any) -> str:
    """A setting or a value, floats with four digits that count."""
    return NOT_SET if value is None else plain(value)
