"""Names in other scripts: every character is in the figure, and one line of the log says which no font has."""

import warnings

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing import fonts
from sweeps.analysis.figures.drawing.style import svg_of
from tests.sweeps.analysis.svg_texts import texts

NAMES = ("고양이", "собака", "飞机")


def _named() -> Figure:
    figure = Figure()
    figure.add_subplot().set_xticks([0, 1, 2], NAMES)
    return figure


def test_characters_that_no_font_has_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "FALLBACKS", ())
    monkeypatch.setattr(fonts, "_told", [])
    fonts._installed.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svgs = [svg_of(_named()) for _ in range(2)]
    fonts._installed.cache_clear()
    assert all(name in texts(svgs[0]) for name in NAMES)
    (line,) = caplog.messages
    assert "고" in line
    assert "飞" in line
    assert "с" not in line  # DejaVu Sans has Cyrillic


def test_a_font_that_has_them_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """STIX ships with matplotlib and has what DejaVu Sans lacks of mathematics."""
    lacking = sorted(fonts._characters("STIXGeneral") - fonts._characters(fonts.FONT) - set(range(0x100)))
    figure = Figure()
    figure.text(0, 0, f"a {chr(lacking[0])}")
    monkeypatch.setattr(fonts, "FALLBACKS", ("Not Installed", "STIXGeneral"))
    fonts._installed.cache_clear()
    assert fonts.families(figure) == ([fonts.FONT, "STIXGeneral"], "")
    fonts._installed.cache_clear()
    assert "STIXGeneral" in font_manager.get_font_names()
    plain = Figure()
    plain.text(0, 0, "α plain")
    assert fonts.families(plain) == ([fonts.FONT], "")
