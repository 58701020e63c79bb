"""`report` and `compare`: what they take, where they write and how they end; what a report says is tested elsewhere."""

import shutil
from pathlib import Path

import pytest

from sweeps.analysis.report import compose
from sweeps.commands import compare, report, report_inputs, status
from sweeps.design import Design
from sweeps.results import store
from sweeps.results.store import Store
from tests.sweeps.invented_runs import swept


def test_a_report_goes_into_the_folder_of_its_sweep(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(trained)]) == 0
    assert capsys.readouterr().out == f"{trained / 'report.html'}\n"
    assert (trained / "report.md").is_file()
    assert report.main([str(trained), "--output", "elsewhere"]) == 2
    assert "is written into its own folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_report_is_drawn_anew_only_where_something_has_changed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(trained, tmp_path / "sweep")
    drawn: list[Path] = []
    render = compose.render_sweep
    monkeypatch.setattr(compose, "render_sweep", lambda folder: drawn.append(folder) or render(folder))

    def draws() -> int:
        drawn.clear()
        assert report.main([str(folder)]) == 0
        return len(drawn)

    assert (draws(), draws()) == (1, 0)
    page = (folder / "report.html").read_text()
    (folder / "report.html").write_text("changed")
    assert (draws(), draws()) == (1, 0)
    assert (folder / "report.html").read_text() == page
    (row,) = store.read(folder, "trials", stage="confirm").slice(0, 1).to_pylist()
    again = {name: value for name, value in row.items() if name != "stage"} | {"attempt": row["attempt"] + 1}
    Store.open(folder).write("trials", "confirm", row["trial_id"], again["attempt"], [again])
    assert (draws(), draws()) == (1, 0)
    monkeypatch.setattr(report_inputs, "version", lambda _: "another")
    assert (draws(), draws()) == (1, 0)
    (folder / "report.json").unlink()
    assert draws() == 1


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


@pytest.mark.slow
def test_sweeps_are_merged_and_the_merge_is_reported(
    tiny: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        str(swept(tiny, tmp_path / f"s{seed}", stages="confirm", seed=seed, replicates=1, blocks=2))
        for seed in range(3)
    ]
    monkeypatch.setattr(compose, "render_sweep", lambda folder: folder / "report.html")  # invented runs say too little
    out = tmp_path / "merged"
    assert report.main([*folders, "--merge", str(out), "--planned"]) == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    assert status.main([str(out)]) == 0
    assert "confirm: 12/12 ended (12 completed)" in capsys.readouterr().out
    assert report.main([*folders, "--merge", str(out)]) == 2
    assert "is there and not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--planned"], "add `--merge RESULTS/NEW`"),
        (["--merge", "new", "--output", "out"], "leave out `--output`"),
        (["third"], "or with `--merge` about more sweeps"),
        (["--merge", "new"], "does not exist"),
    ],
)
def test_what_is_no_merge_is_one_line(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["nowhere", "nowhere", *argv]) == 2
    assert said in capsys.readouterr().err.splitlines()[0]
    assert not Path("new").exists()
