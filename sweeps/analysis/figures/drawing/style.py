"""How figures look and how they are written: one style, readable on a phone, the same bytes every time."""

import io
import re
import textwrap
import warnings
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

import matplotlib
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.fonts import FONT, families
from sweeps.analysis.stats.description.descriptive import UNKNOWN_CELL
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.wording import CELL, cell_name

WIDTH_IN: Final = 4.4
"""At a phone's width, text of 10 pt comes out at about 12 px."""

TITLE_PT: Final = 11
CAPTION_PT: Final = 9
LINE_SPACING: Final = 1.35
POINTS_PER_INCH: Final = 72
TOP_IN: Final = 0.06

STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "figure.facecolor": "white",
    "text.parse_math": False,  # a `$` in a name is a dollar sign
    "svg.fonttype": "none",  # text stays text: searchable, selectable, small
    "svg.hashsalt": "koleo-sweeps",
}

# Okabe & Ito 2008: told apart with any colour vision. Black is kept for estimates, yellow is too pale for lines.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS: Final = ("o", "^", "s", "D", "v", "P")
GREY: Final = "#767676"
BAND: Final = "#dcdcdc"
STAMP_COLOUR: Final = "#9a3d00"

ADAPTIVE: Final = "descriptive: adaptive sample"
"""Stamp on every figure of search data."""

CELLS_IN_TEXT: Final = re.compile(rf"(?<![\w=]){CELL.pattern}(?![\w=])")

K: Final = "accum_steps"
"""The column that figures of accumulation have across."""

Looks: TypeAlias = dict[str, tuple[str, str]]
"""Colour and marker by name."""

Points: TypeAlias = tuple[tuple[float, float], ...]
"""(x, y) of each mark."""

Dash: TypeAlias = Literal["-", "--", ":", "-."]

DASHES: Final[tuple[Dash, ...]] = ("-", "--", ":", "-.")

_NO_METADATA: Final = {"Date": None, "Creator": None, "Format": None, "Type": None}


def arm_style(arms: Iterable[str]) -> Looks:
    """Colour and marker of each arm: give all arms of a sweep, and each looks the same in every figure of it.

    Arms that differ in accumulation alone share a colour; their markers, and their dashes (`dash_of`), tell the steps.
    Those named by the fewest levels come first, then by name; 36 arms are told apart.
    """
    names = sorted(set(arms), key=lambda name: (name.count(","), name))
    hues, steps, shift = _hues(names), sorted(set(map(_steps, names))), len(COLOURS)
    looks = {}
    for name in names:
        hue = hues.index(_hue(name))
        place = steps.index(_steps(name)) if len(steps) > 1 else hue
        looks[name] = (COLOURS[hue % shift], MARKERS[(place + hue // shift) % len(MARKERS)])
    return looks


def _hue(name: str) -> str:
    """What the colour of an arm stands for: all of its levels but those of accumulation."""
    return ",".join(part for part in name.split(",") if part.partition("=")[0].strip() not in (K, "accum_mode"))


def _hues(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(map(_hue, names)))


def _steps(name: str) -> tuple[int, str]:
    """Accumulation steps and mode; what names none is at 1."""
    levels = levels_of(name)
    steps = levels.get(K, "")
    return int(steps) if steps.isdecimal() else 1, levels.get("accum_mode", "")


def looks_of(trials: pa.Table) -> Looks:
    """Colour and marker of every cell of the sweep, and of trials whose cell is not known."""
    return arm_style(pc.unique(trials["cell_id"]).to_pylist()) | {UNKNOWN_CELL: (GREY, "o")}


def series_name(cell: str) -> str:
    """The cell's name without its level of accum_steps."""
    return ",".join(part for part in cell.split(",") if part.partition("=")[0].strip() != K) or "all arms"


def series_looks(trials: pa.Table) -> Looks:
    """Colour and marker of every arm of the sweep, the same in each figure over K."""
    return arm_style(series_name(cell) for cell in pc.unique(trials["cell_id"]).to_pylist())


def dash_of(looks: Looks, name: str) -> Dash:
    """Solid at the fewest accumulation steps, then dashed, dotted, both; so too where colours come round again."""
    steps = sorted(set(map(_steps, looks)))
    round_of_colours = _hues(looks).index(_hue(name)) // len(COLOURS)
    return DASHES[(steps.index(_steps(name)) + round_of_colours) % len(DASHES)]


def head(title: str, caption: str, stamp: str = "") -> tuple[str, str]:
    """Title and the lines under it (stamp first), wrapped to the figure's width."""
    title, caption = named_cells(title), named_cells(caption)
    lines = [stamp] if stamp else []
    lines += textwrap.wrap(_breakable(caption), 62)
    return "\n".join(textwrap.wrap(_breakable(title), 42)), "\n".join(lines)


def wrapped(name: str, width: int) -> str:
    """A name on lines of at most `width`; of a cell what people call it."""
    return "\n".join(textwrap.wrap(_breakable(named_cells(name)), width, break_on_hyphens=False))


def named_cells(text: str) -> str:
    """The text with the cells in it called what people call them."""
    return CELLS_IN_TEXT.sub(lambda found: cell_name(found[0]), text)


def short(name: str, length: int) -> str:
    """The name, its middle left out where it is longer than `length` (>= 3)."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"


def each(counts: Iterable[int], noun: str = "") -> str:
    """`8 trials`, or `7 to 8 trials` where they differ; `counts` holds at least one, `noun` is in the singular."""
    ordered = sorted(counts)
    most = plural(ordered[-1], noun) if noun else str(ordered[-1])
    return most if ordered[0] == ordered[-1] else f"{ordered[0]} to {most}"


def _breakable(text: str) -> str:
    """With a space after each comma before a word: names of cells have none; numbers stay whole."""
    return re.sub(r",(?=[^\W\d])", ", ", text)


def svg_of(figure: Figure) -> str:
    """The figure as an SVG document without date, creator or any other trace of when and where."""
    buffer, engine = io.StringIO(), figure.get_layout_engine()
    fonts, missing = families(figure)
    with matplotlib.rc_context({**STYLE, "font.sans-serif": fonts}), warnings.catch_warnings():
        if missing:  # is in the log; matplotlib tells each character of each text
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
        canvas = FigureCanvasSVG(figure)
        figure.dpi = POINTS_PER_INCH
        if engine is not None:
            # `savefig` lays out by drawing the whole figure once more, for nothing.
            engine.execute(figure)
            figure.set_layout_engine("none")
        canvas.print_svg(buffer, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    svg = _SEVERAL.sub(_of_each, buffer.getvalue())
    svg = re.sub(rf'<g id="{TITLE}([^"]*)">', r"<g><title>\1</title>", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


TITLE: Final = "title: "
"""Begins the group id of a mark that tells its values when pointed at."""


BETWEEN: Final = " \u00a6 "
"""Between the texts of the marks of one artist."""


_NOT_IN_AN_ID: Final = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff]|\s*" + BETWEEN.strip() + r"\s*")
"""No XML holds such characters; what stands between two titles is in none of them."""

_SEVERAL: Final = re.compile(
    rf'<g id="{TITLE}([^"]*{BETWEEN}[^"]*)">((?:\s*<path [^>]*/>)+\s*|.*?</g>\s*)</g>', flags=re.DOTALL
)
"""Lines follow one another in the group of their artist, marks lie in a group within it."""


def titled(artist: Artist, *texts: str) -> None:
    """What a browser shows where one points at the mark, values and ids; of several marks or lines at each of them."""
    if texts:
        artist.set_gid(TITLE + BETWEEN.join(_NOT_IN_AN_ID.sub(" ", text).replace('"', "”") for text in texts))


def _of_each(group: re.Match[str]) -> str:
    """The marks of an artist, or the lines of one without marks, each with its title."""
    texts, mark = iter(group[1].split(BETWEEN)), "use" if "<use " in group[2] else "path"

    def marked(one: re.Match[str]) -> str:
        return f"<{mark} {one[1]}><title>{next(texts, '')}</title></{mark}>"

    return f"<g>{re.sub(rf'<{mark} ([^>]*)/>', marked, group[2])}</g>"


def inline_svg(svg: str, *, name: str, label: str) -> str:
    """The `<svg>` element alone, for an HTML page: ids made unique by `name`, no namespaces, width left to CSS.

    Args:
        svg: document from `svg_of`.
        name: letters, digits and hyphens; unique on the page.
        label: what a screen reader says; plain text.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    body = re.sub(r'(<svg[^>]*?)\s+width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?)\s+height="[^"]*"', r"\1", body, count=1)
    attribute = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return body.replace("<svg", f'<svg role="img" aria-label="{attribute}"', 1)
