"""`results/latest` leads to the sweep that was started last, and never stands in the way."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sweeps.results import latest


@pytest.fixture
def one(tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    return tmp_path / "one"


def test_it_leads_to_the_last_that_was_started(one: Path) -> None:
    other = one.with_name("other")
    other.mkdir()
    link = one.with_name("latest")
    for folder in (one, other, one):
        latest.point_to(folder)
        assert link.resolve() == folder
        assert latest.followed(link) == folder
    assert sorted(path.name for path in one.parent.iterdir()) == ["latest", "one", "other"]


def test_the_folder_of_results_can_be_moved(one: Path, tmp_path: Path) -> None:
    latest.point_to(one)
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    assert (moved / "latest").resolve() == moved / "one"


def test_other_paths_are_themselves(one: Path) -> None:
    assert latest.followed(one) == one
    assert latest.followed(one.with_name("latest")) == one.with_name("latest")  # nothing there


def test_somebodys_own_folder_of_that_name_is_left_alone(one: Path) -> None:
    own = one.with_name("latest")
    own.mkdir()
    latest.point_to(one)
    latest.point_to(own)
    assert own.is_dir()
    assert not own.is_symlink()


@pytest.mark.parametrize("target", ["../elsewhere", "one/"])
def test_a_link_of_somebodys_own_is_left_alone(one: Path, target: str) -> None:
    link = one.with_name("latest")
    os.symlink(target, link)
    latest.point_to(one)
    assert os.readlink(link) == target if target.startswith("..") else link.resolve() == one
    assert latest.followed(link).resolve() == link.resolve()


def test_a_file_system_without_links_is_no_fault(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "symlink", refuse)
    latest.point_to(one)
    assert [path.name for path in one.parent.iterdir()] == ["one"]
    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", refuse)
    latest.point_to(one)
    assert [path.name for path in one.parent.iterdir()] == ["one"]
