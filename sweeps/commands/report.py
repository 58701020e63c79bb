"""`python -m sweeps.commands.report TARGET`: the report of a sweep, of two sweeps, or of an Optuna study."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from embedding_core.errors import Faults
from sweeps.analysis.optuna_studies.report import optuna_report
from sweeps.analysis.optuna_studies.study_file import PREFIX, read_study
from sweeps.analysis.report.comparison import comparison
from sweeps.analysis.report.render import write_pages
from sweeps.analysis.report.sections import Report, SweepTables, report_of
from sweeps.analysis.stats.compare import Sweep
from sweeps.analysis.stats.contrast_table import contrast_rows
from sweeps.analysis.stats.findings import findings
from sweeps.analysis.stats.stored_plan import read_plan
from sweeps.results import store

TARGETS = """targets:
  RESULTS/NAME               one sweep, written into its folder
  RESULTS/A RESULTS/B        two sweeps compared, written to compare-A-B/
  optuna:PATH[#STUDY]        any Optuna study, SQLite or journal file, written to STEM-report/; the file is not changed
"""


def render(results_dir: Path | str) -> Path:
    """Write the report of one sweep, replacing an earlier one, and return the path of report.html.

    Writes report.html, report.md, figures/*.svg and the table `contrasts` under `results_dir`. The page is
    self-contained: styles and figures are inline, and nothing is fetched.

    Raises:
        Faults: no sweep there, a sweep without a single row, or a plan that cannot be read.
    """
    return write(Path(results_dir), compose(Path(results_dir)))


def compose(results_dir: Path) -> Report:
    """The report of one sweep, not yet written.

    Raises:
        Faults: as `render` does.
    """
    names = ("trials", "curves", "rungs", "views", "evaluations", "eval_groups")
    latest = [store.read(results_dir, name) for name in names]
    tables = SweepTables(*[*latest, store.read(results_dir, "trials", attempts="all", stage="confirm")])
    if not tables.trials.num_rows and not tables.curves.num_rows:
        raise Faults([f"`{results_dir}` holds no trials yet: there is nothing to report."])
    return report_of(tables, read_plan(results_dir, tables.trials))


def write(results_dir: Path, report: Report) -> Path:
    """Write `report` as `render` does, and return the path of report.html."""
    store.Store.open(results_dir).replace("contrasts", contrast_rows(report.findings))
    return write_pages(results_dir, report)


def render_study(target: str, output: Path | None = None) -> Path:
    """Write the descriptive report of an Optuna study, named as `read_study` does, and return its report.html.

    Args:
        target: `PATH` or `PATH#NAME`.
        output: folder to write to; None: `<stem of the file>-report` in the current one.

    Raises:
        Faults: as `read_study` does, or `output` is not a folder.
    """
    study = read_study(target)
    return write_pages(_folder(output or Path(f"{study.path.stem}-report")), optuna_report(study))


def render_comparison(first: Path | str, second: Path | str, output: Path | None = None) -> Path:
    """Write the report that lays two sweeps side by side, and return its report.html.

    Args:
        first: folder of a sweep; differences are the second minus this one.
        second: folder of another.
        output: folder to write to; None: `compare-FIRST-SECOND` in the current one.

    Raises:
        Faults: as `render` does, or `output` is not a folder.
    """
    folders = [Path(first), Path(second)]
    names = [folder.resolve().name for folder in folders]
    if names[0] == names[1]:
        names = [str(folder) for folder in folders]
    sweeps = [_sweep(folder, name) for folder, name in zip(folders, names, strict=True)]
    default = Path("-".join(["compare", *(folder.resolve().name for folder in folders)]))
    return write_pages(_folder(output or default), comparison(*sweeps))


def main(argv: Sequence[str] | None = None) -> int:
    """Render from the command line; 2 with one line per fault if there is nothing to render."""
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.commands.report",
        description=__doc__,
        epilog=TARGETS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", metavar="TARGET", nargs="+", help="see below")
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder for a comparison or an Optuna study")
    arguments = parser.parse_args(argv)
    try:
        path = _rendered(arguments.targets, arguments.output)
    except Faults as error:
        print(error, file=sys.stderr)
        return 2
    print(path)
    return 0


def _rendered(targets: list[str], output: Path | None) -> Path:
    studies = [target for target in targets if target.startswith(PREFIX)]
    if len(targets) > 2 or (studies and len(targets) > 1):
        raise Faults([f"A report is about one sweep, two sweeps or one Optuna study, but got: {', '.join(targets)}."])
    if studies:
        return render_study(studies[0].removeprefix(PREFIX), output)
    if len(targets) == 2:
        return render_comparison(targets[0], targets[1], output)
    if output is not None:
        raise Faults(["The report of a sweep is written into its own folder; `--output` is for the other kinds."])
    return render(targets[0])


def _sweep(folder: Path, name: str) -> Sweep:
    trials, curves, groups = (store.read(folder, table) for table in ("trials", "curves", "eval_groups"))
    confirm = trials.filter(pc.equal(trials["stage"], "confirm"))
    return Sweep(name, findings(trials, curves, read_plan(folder, trials).contrasts, groups), confirm)


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise Faults([f"{path} is not a folder: a report cannot be written there."])
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
