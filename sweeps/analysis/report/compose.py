"""Reports from folders: that of one sweep, and that of two side by side, composed and written."""

from pathlib import Path

import pyarrow.compute as pc

from embedding_core.errors import Faults
from sweeps.analysis.document import Report
from sweeps.analysis.report.comparison import comparison
from sweeps.analysis.report.render import write_pages
from sweeps.analysis.report.sections.in_order import SweepTables, report_of
from sweeps.analysis.stats.answers.compare import Sweep
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.reading.plan_reader import read_plan
from sweeps.results import store


def render_sweep(results_dir: Path | str) -> Path:
    """Write the report of one sweep, replacing an earlier one, and return the path of report.html.

    Writes report.html, report.md, figures/*.svg and the table `contrasts` under `results_dir`. The page is
    self-contained: styles and figures are inline, and nothing is fetched.

    Raises:
        Faults: no sweep there, a sweep without a single row, or a plan that cannot be read.
    """
    return write_report(Path(results_dir), compose(Path(results_dir)))


def compose(results_dir: Path) -> Report:
    """The report of one sweep, not yet written.

    Raises:
        Faults: as `render_sweep` does.
    """
    names = ("trials", "curves", "rungs", "views", "evaluations", "eval_groups")
    tables = SweepTables(
        **{name: store.read(results_dir, name) for name in names},
        confirm_attempts=store.read(results_dir, "trials", attempts="all", stage="confirm"),
    )
    if not tables.trials.num_rows and not tables.curves.num_rows:
        raise Faults([f"`{results_dir}` holds no trials yet: there is nothing to report."])
    return report_of(tables, read_plan(results_dir, tables.trials), folder=str(results_dir))


def write_report(results_dir: Path, report: Report) -> Path:
    """Write `report` as `render_sweep` does, and return the path of report.html."""
    store.Store.open(results_dir).replace("contrasts", report.contrasts)
    return write_pages(results_dir, report)


def render_comparison(first: Path | str, second: Path | str, output: Path | None = None) -> Path:
    """Write the report that lays two sweeps side by side, and return its report.html.

    Args:
        first: folder of a sweep; differences are the second minus this one.
        second: folder of another.
        output: folder to write to; None: `compare-FIRST-SECOND` in the current one.

    Raises:
        Faults: as `render_sweep` does, or `output` is not a folder.
    """
    default = Path("-".join(["compare", *(Path(folder).resolve().name for folder in (first, second))]))
    return write_pages(output or default, compose_comparison(first, second))


def compose_comparison(first: Path | str, second: Path | str) -> Report:
    """What `render_comparison` writes."""
    folders = [Path(first), Path(second)]
    names = [folder.resolve().name for folder in folders]
    if names[0] == names[1]:
        names = [str(folder) for folder in folders]
    return comparison(*(_sweep(folder, name) for folder, name in zip(folders, names, strict=True)))


def _sweep(folder: Path, name: str) -> Sweep:
    trials, curves, groups = (store.read(folder, table) for table in ("trials", "curves", "eval_groups"))
    confirm = trials.filter(pc.equal(trials["stage"], "confirm"))
    return Sweep(name, findings(trials, curves, read_plan(folder, trials), groups), confirm)
