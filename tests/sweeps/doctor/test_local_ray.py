"""What is known of Ray before it starts, against what Ray itself says."""

import os
from pathlib import Path

import pytest
from ray._private.utils import validate_socket_filepath

from sweeps.doctor.local_ray import SESSION, in_the_way, own_token, socket_path, temporary_folder


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("letter", ["x", "é"])
def test_folders_that_are_too_long_are_those_ray_refuses(letter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = set()
    for length in range(10, 60):
        folder = "/" + letter * length
        monkeypatch.setenv("TMPDIR", folder)
        found = socket_path()
        states.add(found.state)
        path = f"{folder}/{SESSION.format(pid=os.getpid())}"
        if found.state == "ok":
            validate_socket_filepath(path)
        else:
            with pytest.raises(OSError, match="AF_UNIX path length"):
                validate_socket_filepath(path)
    assert states == {"ok", "red"}


def test_rays_own_variable_goes_before_that_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/" + "x" * 100)
    (fault,) = in_the_way([socket_path()])
    assert fault.startswith("Ray cannot be started on this machine: /xxx")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert socket_path().state == "ok"


def test_a_temporary_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert temporary_folder().state == "ok"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    assert temporary_folder().found.endswith(f"cannot be written, because of {tmp_path / 'file'}")
    assert temporary_folder().state == "red"


def test_a_token_may_lie_in_three_places_or_not_be_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert own_token().found == f"none yet: the first sweep makes it, in {tmp_path / '.ray' / 'auth_token'}"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    assert own_token().found == f"in {tmp_path / '.ray' / 'auth_token'}"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nowhere"))
    assert own_token().state == "red"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    assert own_token().found == "in RAY_AUTH_TOKEN"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert own_token().found == "none is asked for: RAY_AUTH_MODE"
