"""How the page is written."""

import pytest

from sweeps.analysis.document import Report, Section, Table
from sweeps.analysis.report.render import html_of


@pytest.mark.parametrize("text", ["[-.1, +.2]", "-.0022 to +.0025", ".7450 ± .0039", ".01000 (high end)"])
def test_no_line_ends_within_an_interval(text: str) -> None:
    section = Section("Numbers", tables=[Table(["", "value"], [["a", f"about {text}"]])])
    page = html_of(Report("study", "", ["Nothing."], [section]), {})
    assert f'<td>about <span class="whole">{text}</span></td>' in page


def test_words_are_left_to_break() -> None:
    section = Section("Words", tables=[Table(["", "value"], [["a", "from here to there (in the end)"]])])
    assert "<td>from here to there (in the end)</td>" in html_of(Report("study", "", ["Nothing."], [section]), {})
