from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.analysis.report.compose import compose

Make = Callable[..., Any]


def test_the_report_has_its_sections(make_arms: Make, tmp_path: Path) -> None:
    sweep = make_arms(blocks=2)
    report = compose(sweep.write(tmp_path / "arms"))
    headings = [section.heading for section in report.sections]
    wanted = ["Accuracy", "Few labels", "Colour", "Learning curves", "Losses and similarities"]
    assert [heading for heading in headings if heading in wanted] == wanted
