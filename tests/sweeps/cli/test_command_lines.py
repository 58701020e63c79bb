"""Lines to paste work where they are pasted."""

import sys
from pathlib import Path

import pytest

from sweeps.cli.command_lines import koleo_sweeps


def test_a_command_of_the_console_script_is_its_module_where_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))
    assert koleo_sweeps("report", "results/a b") == "bin/python -m sweeps.commands.report 'results/a b'"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "koleo-sweeps").touch()
    assert koleo_sweeps("report", "results/a b") == "bin/koleo-sweeps report 'results/a b'"
