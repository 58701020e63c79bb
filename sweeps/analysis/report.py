"""`python -m sweeps.analysis.report RESULTS/NAME`: tables in, report.html, report.md, figures and `contrasts` out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from embedding_core.faults import Faults
from sweeps.analysis import template
from sweeps.analysis.contrast_table import contrast_rows
from sweeps.analysis.plan import read_plan
from sweeps.analysis.sections import Report, Tables, report_of
from sweeps.analysis.style import inline_svg, svg_of
from sweeps.results import store


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
    names = ("trials", "curves", "rungs", "views", "eval_groups")
    tables = Tables(*(store.read(results_dir, name) for name in names))
    if not tables.trials.num_rows and not tables.curves.num_rows:
        raise Faults([f"`{results_dir}` holds no trials yet: there is nothing to report."])
    return report_of(tables, read_plan(results_dir, tables.trials))


def write(results_dir: Path, report: Report) -> Path:
    """Write `report` as `render` does, and return the path of report.html."""
    svgs = {picture.name: svg_of(picture.figure) for section in report.sections for picture in section.pictures}
    _write_figures(results_dir / "figures", svgs)
    store.Store.open(results_dir).replace("contrasts", contrast_rows(report.findings))
    (results_dir / "report.md").write_text(markdown_of(report), encoding="utf-8")
    path = results_dir / "report.html"
    path.write_text(html_of(report, svgs), encoding="utf-8")
    return path


def html_of(report: Report, svgs: dict[str, str]) -> str:
    """The page; `svgs` are documents by picture name."""
    readings = {picture.name: picture.reading for section in report.sections for picture in section.pictures}
    # Our own SVG, whose text matplotlib has escaped; all else goes through autoescape.
    inline = {name: Markup(inline_svg(svg, name=name, label=readings[name])) for name, svg in svgs.items()}
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(template.HTML)
    return page.render(report=report, svgs=inline)


def markdown_of(report: Report) -> str:
    """The same content as Markdown, figures by relative path."""
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"md": _markdown_text, "code": _code_line}
    return environment.from_string(template.MARKDOWN).render(report=report).strip() + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Render from the command line; 2 with one line per fault if there is nothing to render."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.analysis.report", description=__doc__)
    parser.add_argument("results_dir", metavar="RESULTS/NAME", type=Path, help="folder of one sweep")
    try:
        path = render(parser.parse_args(argv).results_dir)
    except Faults as error:
        print(error, file=sys.stderr)
        return 2
    print(path)
    return 0


def _write_figures(folder: Path, svgs: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*.svg"):
        if stale.stem not in svgs:
            stale.unlink()
    for name, svg in svgs.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")


def _markdown_text(text: str) -> str:
    """One line that no Markdown reader takes for emphasis, markup, a link or the end of a cell."""
    for character in "\\`*|<":
        text = text.replace(character, "\\" + character)
    return " ".join(text.replace("](", "]\\(").split())


def _code_line(text: str) -> str:
    return " ".join(text.replace("```", "'''").split())


if __name__ == "__main__":
    sys.exit(main())
