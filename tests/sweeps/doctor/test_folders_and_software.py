"""Folders, packages and cards, as they may be found."""

import sys
from pathlib import Path
from typing import Any

import pytest

from sweeps.doctor import folders, ports, software
from sweeps.doctor.finding import Finding


def test_results_below_a_file_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert folders.results(tmp_path / "new" / "deep").state == "ok"
    assert folders.results(tmp_path / "file" / "deep").state == "red"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_data_root_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBED_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert folders.data_root(None).state == "note"
    assert folders.data_root(str(tmp_path / "gone")).state == "red"
    for name in ("b", "a", ".hidden"):
        (tmp_path / "root" / name).mkdir(parents=True)
    monkeypatch.setenv("EMBED_DATA_ROOT", str(tmp_path / "root"))
    assert folders.data_root(None).found == f"{tmp_path / 'root'}: a, b"


def test_places_on_one_disk_share_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (line,) = folders.disks(tmp_path / "results")
    assert f"free for results, caches, Ray ({tmp_path})" in line.found
    monkeypatch.setattr(folders, "LEAST_FREE_BYTES", 2**80)
    (full,) = folders.disks(tmp_path / "results")
    assert full.state == "red"


def test_shared_memory_that_is_not_there_is_in_the_way(tmp_path: Path) -> None:
    assert folders.shared_memory(tmp_path / "shm").state == "red"
    assert folders.shared_memory().state != "red"


def test_a_taken_port_is_noted_for_a_dashboard_that_is_forwarded(monkeypatch: pytest.MonkeyPatch) -> None:
    with ports.socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(ports, "DASHBOARD_PORT", server.getsockname()[1])
        assert (ports.loopback().state, ports.forwarded().state) == ("ok", "note")
    assert ports.forwarded().state == "ok"


def test_a_torch_that_cannot_be_imported_is_a_line_not_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    (line,) = software.torch_and_gpus()
    assert line.state == "red"
    assert line.found == "cannot be used: ImportError: libcudart.so.13: cannot open shared object file"


GPU = {"name": "Tesla K80", "gib": 11.17, "why": ""}


def of(**survey: Any) -> list[Finding]:
    return list(software.gpus_of({"torch": "2", "cards": 0, "gpus": [], "here": "Card: K80", **survey}))


def test_cards_that_torch_cannot_use_are_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [one.state for one in of()] == ["ok"]
    assert [(one.check, one.found) for one in of(cards=1, gpus=[GPU])] == [("GPU 0", "Tesla K80, 11.2 GiB")]
    (old,) = of(cards=1, gpus=[{**GPU, "why": "no kernel image"}])
    assert (old.state, old.found) == ("red", "Tesla K80, 11.2 GiB: torch cannot use it: no kernel image. Card: K80")
    assert [one.state for one in of(cards=1)] == ["red"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [one.state for one in of(cards=1)] == ["note"]


def test_a_package_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["torch==2.14.1", "ray[default,tune]<2.61,>=2.60", 'lightly==1.6.*; extra == "dev"', "optuna<6,>=5"]
    there = {"ray": "2.61.0", "torch": "2.14.1+cu130", "optuna": "5.0.0"}

    def version(name: str) -> str:
        if name not in there:
            raise software.metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(software.metadata, "requires", lambda _: asked)
    monkeypatch.setattr(software.metadata, "version", version)
    line = software.packages()
    assert (line.state, line.found) == ("red", "ray 2.61.0, no torchvision, not as asked for")
    assert sys.executable in software.python().found
