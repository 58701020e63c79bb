"""A file is there whole or not at all."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from embedding_core.storage.atomic_write import StorageError, whole


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_file_takes_its_place_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    for content in (b"old", b"new"):
        with whole(file) as stream:
            stream.write(content)
            assert not file.exists() or file.read_bytes() == b"old"
        assert file.read_bytes() == content
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_leaves_the_file_as_it_was_and_is_called_so(tmp_path: Path) -> None:
    """torch hides the reason behind an error of its own writer."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with disk_of(10_000), pytest.raises(StorageError, match="File too large"), whole(file) as stream:
        stream.write(bytes(100_000))
    with disk_of(10_000), pytest.raises(StorageError, match="File too large"), whole(file) as stream:
        torch.save({"weights": torch.zeros(100_000)}, stream)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_what_the_writer_does_wrong_is_not_the_disks_fault(tmp_path: Path) -> None:
    def half_written() -> None:
        with whole(tmp_path / "file") as stream:
            stream.write(b"half")
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug") as caught:
        half_written()
    assert not isinstance(caught.value, OSError)
    assert list(tmp_path.iterdir()) == []
