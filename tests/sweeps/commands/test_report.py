"""`report` and `compare`: what they take, where they write and how they end; what a report says is tested elsewhere."""

from pathlib import Path

import pytest

from sweeps.commands import compare, report
from sweeps.results.store import Store


def test_a_report_goes_into_the_folder_of_its_sweep(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(trained)]) == 0
    assert capsys.readouterr().out == f"{trained / 'report.html'}\n"
    assert (trained / "report.md").is_file()
    assert report.main([str(trained), "--output", "elsewhere"]) == 2
    assert "is written into its own folder" in capsys.readouterr().err


def test_nothing_to_report_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store.create(tmp_path / "empty")
    for name, said in (("empty", "holds no trials yet"), ("nowhere", "nowhere")):
        assert report.main([str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()


def test_a_page_that_cannot_be_written_is_one_line_and_exit_code_2(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    assert compare.main([str(trained), str(trained), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "report.html" in error
    assert error.count("\n") == 1


def test_a_report_of_two_sweeps_is_their_comparison(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(trained), str(trained)]
    monkeypatch.chdir(tmp_path)
    assert report.main(pair) == 0
    assert capsys.readouterr().out == "compare-trained-trained/report.html\n"
    assert compare.main([*pair, "--output", "out"]) == 0
    assert capsys.readouterr().out == "out/report.html\n"
    for name in ("report.html", "report.md"):
        assert Path("out", name).read_bytes() == Path("compare-trained-trained", name).read_bytes()


def test_a_comparison_takes_two_sweeps(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folders in ([trained], [trained] * 3):
        assert compare.main([*map(str, folders), "--output", str(tmp_path / "out")]) == 2
        assert f"takes the folders of two sweeps, but got {len(folders)}: " in capsys.readouterr().err
    assert compare.main([str(trained), str(tmp_path / "nowhere")]) == 2
    (tmp_path / "file").touch()
    assert compare.main([str(trained), str(trained), "--output", str(tmp_path / "file")]) == 2
    assert "is not a folder" in capsys.readouterr().err
