"""Which fonts a figure is laid out with: names of classes may be in any script."""

import logging
from collections.abc import Iterable
from functools import cache
from typing import Final

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

FONT: Final = "DejaVu Sans"
"""Ships with matplotlib: one layout on every machine."""

FALLBACKS: Final = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Source Han Sans", "Hiragino Sans", "PingFang SC",
    "Microsoft YaHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAGothic", "NanumGothic", "Noto Sans Arabic",
    "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai", "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Asked for what `FONT` lacks, as far as they are installed."""

log = logging.getLogger(__name__)


def families(figure: Figure) -> tuple[list[str], str]:
    """The fonts for all texts of a figure, and the characters that none of them has.

    What is missing is logged, once in a process.
    """
    written = {char for text in figure.findobj(Text) for char in text.get_text() if ord(char) > 0xFF}
    fonts, missing = [FONT], _lacking(FONT, written)
    for name in _installed() if missing else ():
        left = _lacking(name, missing)
        if left != missing:
            fonts, missing = [*fonts, name], left
    if missing:
        _tell("".join(sorted(missing))[:12])
    return fonts, "".join(sorted(missing))


def _lacking(name: str, characters: Iterable[str]) -> set[str]:
    known = _characters(name) if characters else frozenset()
    return {char for char in characters if ord(char) not in known}


@cache
def _installed() -> list[str]:
    there = set(font_manager.get_font_names())
    return [name for name in FALLBACKS if name in there]


@cache
def _characters(name: str) -> frozenset[int]:
    """Code points that the font has."""
    return frozenset(font_manager.get_font(font_manager.findfont(FontProperties(family=name))).get_charmap())


_told: list[str] = []


def _tell(missing: str) -> None:
    if not _told:
        _told.append(missing)
        log.warning(
            "No font here has some characters of the figures (%s): their room is guessed, and whoever opens the "
            "report sees them in a font of their own. A Noto font of that script helps.",
            missing,
        )
