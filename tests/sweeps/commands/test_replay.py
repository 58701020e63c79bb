"""A trial trained again gives the stored rows; where one was altered, the first column that differs is named."""

from pathlib import Path
from shutil import copytree

import pytest

from sweeps.commands.replay import DIFFERS, main
from sweeps.results.store import Store, read


def test_a_trial_gives_its_rows_again(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trained), "t00000"]) == 0
    assert capsys.readouterr().out == (
        f"{trained}, confirm t00000 (completed): 2 epochs, all equal to the stored rows\n"
    )


def test_the_first_difference_is_named_and_is_exit_code_1(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copytree(trained, tmp_path / "altered")
    last = read(folder, "curves").to_pylist()[-1]
    del last["stage"]
    Store.open(folder).write("curves", "confirm", "t00000", 1, [{**last, "val_auc": last["val_auc"] - 0.25}])
    assert main([str(folder), "t00000", "--stage", "confirm"]) == DIFFERS == 1
    out = capsys.readouterr().out
    assert "differs from the stored rows" in out
    assert f"epoch 2, val_auc: stored {last['val_auc'] - 0.25}, now {last['val_auc']}, 0.25 apart" in out


def test_what_cannot_be_replayed_is_said(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(trained), "t00001"]) == 2
    assert "Unknown ended trial `t00001`. Did you mean `t00000`?" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["t00000"]) == 2
    assert capsys.readouterr().err == "No sweep in results: name one.\n"
