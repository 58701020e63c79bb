"""Rows in a file: whole or not at all, and refused when damaged."""

import os
from pathlib import Path

import pytest

from embedding_core.errors import Faults
from embedding_core.storage import result_tables


def test_a_failing_write_leaves_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "views.zip"
    result_tables.write(file, {"views": [{"a": 1}]})

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        result_tables.write(file, {"views": [{"a": 2}]})
    assert result_tables.read(file) == {"views": [{"a": 1}]}
    assert [path.name for path in tmp_path.iterdir()] == ["views.zip"]


def test_a_damaged_file_is_one_clear_fault(tmp_path: Path) -> None:
    file = tmp_path / "views.zip"
    result_tables.write(file, {"views": [{"a": 1, "b": b"x"}]})
    whole = file.read_bytes()
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        with pytest.raises(Faults, match=r"views.zip holds no rows that can be read"):
            result_tables.read(file)
    data = len("views.arrow") + 30  # after the header of the first entry
    file.write_bytes(whole[:data] + bytes([whole[data] ^ 0xFF]) + whole[data + 1 :])
    with pytest.raises(Faults, match="CRC"):
        result_tables.read(file)
    with pytest.raises(Faults, match="nowhere"):
        result_tables.read(tmp_path / "nowhere.zip")
