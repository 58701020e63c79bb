"""Pages of a report: HTML with everything inline, Markdown beside a folder of figures."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from embedding_core.errors import Faults
from sweeps.analysis.document import Report
from sweeps.analysis.figures.drawing.style import inline_svg, svg_of
from sweeps.analysis.report.glossary import Linker, slug
from sweeps.analysis.wording import cell_name

WHOLE: Final = re.compile(r"\[[^]]*\]|[-+.\d]+ (?:to|±) [-+.\d]+|[-+.\d]+ \(\w+ end\)")
"""`[.1, .2]`, `.1 to .2`, `.1 ± .02` and `.1 (high end)`."""


def write_pages(folder: Path, report: Report) -> Path:
    """Write report.html, report.md and figures/*.svg into a folder, made if it is missing, replacing earlier ones.

    Returns the path of report.html, which is self-contained: styles and figures are inline, and nothing is fetched.

    Raises:
        Faults: `folder` is something else.
    """
    if folder.exists() and not folder.is_dir():
        raise Faults([f"{folder} is not a folder: a report cannot be written there."])
    folder.mkdir(parents=True, exist_ok=True)
    svgs = {picture.name: svg_of(picture.drawn()) for picture in report.pictures}
    _write_figures(folder / "figures", svgs)
    (folder / "report.md").write_text(markdown_of(report), encoding="utf-8")
    path = folder / "report.html"
    path.write_text(html_of(report, svgs), encoding="utf-8")
    return path


def html_of(report: Report, svgs: dict[str, str]) -> str:
    """The page; `svgs` are documents by picture name."""
    readings = {picture.name: picture.reading for picture in report.pictures}
    # Our own SVG, whose text matplotlib has escaped; all else goes through autoescape.
    inline = {name: Markup(inline_svg(svg, name=name, label=readings[name])) for name, svg in svgs.items()}
    environment = _environment(autoescape=True)
    script = environment.get_template("page.js.j2").render()
    digest = b64encode(sha256(script.encode()).digest()).decode()
    environment.filters |= {"linked": Linker(report), "json": _json, "whole": _whole, "cell_name": cell_name}
    environment.globals |= {"slug": slug}
    page = environment.get_template("report.html.j2")
    return page.render(report=report, svgs=inline, script=Markup(script), digest=digest)


def markdown_of(report: Report) -> str:
    """The same content as Markdown, figures by relative path."""
    environment = _environment(autoescape=False)
    environment.filters |= {"md": _markdown_text, "code": _code_line, "cell_name": cell_name}
    return environment.get_template("report.md.j2").render(report=report).strip() + "\n"


def _environment(*, autoescape: bool) -> Environment:
    """Of the templates beside this module."""
    loader = PackageLoader("sweeps.analysis.report", "")
    return Environment(loader=loader, autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True)


def _write_figures(folder: Path, svgs: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*.svg"):
        if stale.stem not in svgs:
            stale.unlink()
    for name, svg in svgs.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")


def _whole(text: str) -> Markup:
    """With intervals, spreads and what stands in brackets that no line end divides, but on a phone."""
    return Markup(WHOLE.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


def _json(value: Any) -> Markup:
    """JSON that no text in it can end the element of."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def _markdown_text(text: str) -> str:
    """One line that no Markdown reader takes for emphasis, markup, a link or the end of a cell."""
    for character in "\\`*|<":
        text = text.replace(character, "\\" + character)
    return " ".join(text.replace("](", "]\\(").split())


def _code_line(text: str) -> str:
    return " ".join(text.replace("```", "'''").split())
