"""The descriptive report of an Optuna study: what its database supports, and what it does not."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from embedding_core.wording import plural
from sweeps.analysis.document import Picture, Report, Section, Table
from sweeps.analysis.figures.importances import READING, draw_importances, importance_data
from sweeps.analysis.numbers import ABSENT, plain
from sweeps.analysis.optuna_studies.counts import ENDINGS, NOT_SET, REASONS, Arms, arms, completed, endings, feasible
from sweeps.analysis.optuna_studies.study_file import StudyFile, read_study
from sweeps.analysis.optuna_studies.values import NOT_COMPLETED, draw_values, values_data
from sweeps.analysis.report.render import write_pages
from sweeps.analysis.stats.description.importances import EVALUATORS, Importances, remarks
from sweeps.analysis.stats.description.optuna_importances import MAX_LEVELS, study_shares

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
    study, file = read_study(target)
    return write_pages(output or Path(f"{Path(file.name).stem}-report"), optuna_report(study, file))


def optuna_report(study: optuna.Study, file: StudyFile) -> Report:
    """Counts, reasons against comparing, best trials, figures and importances; no effect is ever claimed.

    Args:
        study: as `read_study` gives it.
        file: likewise.
    """
    trials = study.get_trials(deepcopy=False)
    found, n = arms(trials), len(trials)
    counts = ", ".join(f"{n} {ending}" for ending, n in endings(trials).items())
    sections = [
        _best(study, trials), _supports(found), _levels(found), _values(study, found), _pruning(trials),
        _importances(study, trials), _provenance(study, trials, file),
    ]  # fmt: skip
    return Report(
        study=f"Optuna study {study.study_name}",
        question="",
        verdicts=[f"Nothing is claimed about an effect: {plural(n, 'trial')} of an Optuna study ({counts})."],
        sections=[section for section in sections if section.paragraphs or section.tables or section.pictures],
    )


def _section(heading: str, lines: list[str], header: list[str], rows: list[list[str]]) -> Section:
    """With a table, unless it has no rows."""
    return Section(heading, lines, tables=[Table(header, rows)] * bool(rows))


def _objectives(study: optuna.Study) -> list[str]:
    n = len(study.directions)
    return study.metric_names or (["value"] if n == 1 else [f"value {i}" for i in range(n)])


def _best(study: optuna.Study, trials: Sequence[FrozenTrial]) -> Section:
    names, best = _objectives(study), study.best_trials
    shown = best[:MAX_BEST]
    rows = [
        [name, *(plain(trial.values[i]) for trial in shown), f"{direction.name.lower()}d", ABSENT, ABSENT]
        for i, (name, direction) in enumerate(zip(names, study.directions, strict=True))
    ]
    for name in sorted({name for trial in trials for name in trial.params}):
        own = [trial for trial in trials if name in trial.params]
        settings = (plain(trial.params.get(name, NOT_SET)) for trial in shown)
        rows.append([name, *settings, *_visited(own, name), str(len(own))])
    header = ["", *(f"trial {trial.number}" for trial in shown), "range", "visited", "trials"]
    done = completed(trials)
    line = f"{'No completed trial keeps every constraint' if done else 'No trial completed'}, so there is no best one."
    if best:
        which = f"trial{'s' * (len(best) > 1)} {', '.join(str(trial.number) for trial in shown)}"
        which += f" and {len(best) - MAX_BEST} more" * (len(best) > MAX_BEST)
        how = f"{names[0]} {plain(best[0].value)}" if len(names) == 1 else "the Pareto front"
        line = f"Best of {plural(len(done), 'completed trial')}: {which}, {how}."
    if any(trial.constraints for trial in done):
        line += f" {sum(map(feasible, done))} of {len(done)} keep every constraint; the others do not count."
    return _section("Best trials", [line], header, rows)


def _visited(own: Sequence[FrozenTrial], name: str) -> tuple[str, str]:
    """Range asked for and range met by the trials that have the parameter."""
    asked: list[Any] = [trial.distributions[name] for trial in own]
    met = [trial.params[name] for trial in own]
    if any(isinstance(distribution, CategoricalDistribution) for distribution in asked):
        offered = dict.fromkeys(str(choice) for d in asked for choice in getattr(d, "choices", ()))
        return ", ".join(offered), ", ".join(sorted(set(map(str, met))))
    ranges = f"{plain(min(d.low for d in asked))} to {plain(max(d.high for d in asked))}"
    ranges += ", log" * any(d.log for d in asked)
    ranges += ", changed on the way" * (len({(d.low, d.high) for d in asked}) > 1)
    return ranges, f"{plain(min(met))} to {plain(max(met))}"


def _supports(found: Sequence[Arms]) -> Section:
    lines = ["Supported, as a description: the best trials, the ranges visited, and where trials were pruned."]
    if refused := [arm.parameter for arm in found if arm.against]:
        lines.append(f"Not supported: comparing the levels of {', '.join(refused)}, for these reasons.")
    lines += [
        f"Nothing in the file stands against comparing the levels of {arm.parameter}: their paired differences over "
        f"{arm.shared} settings that several levels completed may be compared."
        for arm in found
        if not arm.against
    ]
    if not found:
        lines.append("No parameter has levels, so there are no arms to compare.")
    every, rows = [arm.parameter for arm in found], []
    for reason, meaning in REASONS.items():
        where = [(arm.parameter, arm.against[reason]) for arm in found if reason in arm.against]
        names = [f"{name} ({at})" if at else name for name, at in where]
        if names:
            rows.append([f"{reason}: {meaning}", "all" if names == every else ", ".join(names)])
    return _section("What it supports", lines, ["reason", "parameters"], rows)


def _levels(found: Sequence[Arms]) -> Section:
    names = [name for name in ENDINGS.values() if any(name in own for arm in found for own in arm.levels.values())]
    rows = [
        [f"{arm.parameter} = {level}", *(str(own.get(ending, 0)) for ending in names), str(sum(own.values()))]
        for arm in found
        for level, own in arm.levels.items()
    ]
    return _section("Trials by level and ending", [], ["level", *names, "trials"], rows)


def _values(study: optuna.Study, found: Sequence[Arms]) -> Section:
    objectives = [*enumerate(_objectives(study))]
    each = [values_data(study, i, name) for i, name in objectives]
    drawn = [(i, name, arm) for arm in found if len(arm.levels) <= MAX_LEVELS for i, name in objectives]
    each += [values_data(study, i, name, arm) for i, name, arm in drawn[:MAX_PICTURES]]
    pictures = [
        Picture(f"values-{i}", draw_values(data), "Each mark is a trial.") for i, data in enumerate(each) if data.points
    ]
    hollow = any(NOT_COMPLETED in data.points for data in each)
    return Section("Values", [HOLLOW] * hollow, pictures=pictures)


def _pruning(trials: Sequence[FrozenTrial]) -> Section:
    steps = Counter(trial.last_step for trial in trials if trial.state == TrialState.PRUNED)
    ascending = sorted(steps.items(), key=lambda item: -1 if item[0] is None else item[0])
    rows = [["no step" if step is None else str(step), str(n)] for step, n in ascending]
    return _section("Pruning", [], ["last step reported", "pruned trials"], rows)


def _importances(study: optuna.Study, trials: Sequence[FrozenTrial]) -> Section:
    # fANOVA is of one objective; PED-ANOVA of several is of reaching the Pareto front.
    evaluators = EVALUATORS if len(study.directions) == 1 else EVALUATORS[:1]
    n = len(completed(trials))
    shares = {name: study_shares(study, name) for name in evaluators}
    given = [Importances(name, n, own, {}, reason) for name, (own, reason) in shares.items()]
    pictures = []
    if any(item.shares for item in given):
        caption = f"n = {n} completed trials; study {study.study_name}"
        data = replace(importance_data(given, dataset=""), caption=caption)
        pictures.append(Picture("importances", draw_importances(data), READING))
    return Section("Importance of the settings", remarks(given), pictures=pictures)


def _provenance(study: optuna.Study, trials: Sequence[FrozenTrial], file: StudyFile) -> Section:
    rows = [
        ["file", file.name],
        ["sha256 of the file", file.sha256],
        ["study", study.study_name],
        ["first trial began", _time(min, (trial.datetime_start for trial in trials))],
        ["last trial ended", _time(max, (trial.datetime_complete for trial in trials))],
        ["read with", f"optuna {optuna.__version__}"],
    ]
    note = ["The last line of the journal is cut off; Optuna passes it over."] * file.is_cut_off
    return _section("Provenance", note, ["", "value"], rows)


def _time(which: Callable[[list[datetime]], datetime], moments: Iterable[datetime | None]) -> str:
    known = [moment for moment in moments if moment is not None]
    return which(known).isoformat(sep=" ", timespec="seconds") if known else ABSENT
