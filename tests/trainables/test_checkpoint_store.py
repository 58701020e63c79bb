"""Where checkpoints lie: the same promises from a folder and from an object store."""

import os
import time
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

from embedding_core.errors import Faults
from embedding_core.storage.retry import PATIENCE_S
from tests.places import in_own_mounts
from trainables.checkpoint_store import CheckpointStore, below


@pytest.fixture(params=["folder", "bucket"])
def checkpoint_store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    if request.param == "folder":
        return CheckpointStore.ready(str(tmp_path / "store"))
    return CheckpointStore.ready(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def file_of(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "local.pt"
    file.write_bytes(content)
    return file


def test_what_was_put_is_got_again_until_it_is_deleted(checkpoint_store: CheckpointStore, tmp_path: Path) -> None:
    there = tmp_path / "got"
    assert checkpoint_store.is_empty()
    for content in (b"first", b"second"):
        file = file_of(tmp_path, content)
        checkpoint_store.put(file, "search/t00000.pt")
        assert not file.exists()
        assert checkpoint_store.get("search/t00000.pt", there)
        assert there.read_bytes() == content
    assert not checkpoint_store.get("search/t00001.pt", there)
    assert not checkpoint_store.is_empty()
    for _ in range(2):
        checkpoint_store.delete("search/t00000.pt")
    assert not checkpoint_store.get("search/t00000.pt", there)
    assert checkpoint_store.is_empty()


def test_runs_that_left_a_file_are_known_by_stage(checkpoint_store: CheckpointStore, tmp_path: Path) -> None:
    for name in ("search/t00002.pt", "search/t00010.pt", "tune/t00003.pt"):
        (tmp_path / "local").write_bytes(b"x")
        checkpoint_store.put(tmp_path / "local", name)
    assert checkpoint_store.runs("search") == {"t00002", "t00010"}
    assert checkpoint_store.runs("confirm") == set()


def test_many_are_deleted_and_no_others(checkpoint_store: CheckpointStore, tmp_path: Path) -> None:
    for number in range(5):
        checkpoint_store.put(file_of(tmp_path, b"weights"), f"search/t{number:05d}.pt")
    checkpoint_store.put(file_of(tmp_path, b"weights"), "tune/t00000.pt")
    checkpoint_store.delete_all(f"search/t{number:05d}.pt" for number in (0, 2, 3, 7))
    checkpoint_store.delete_all(["confirm/t00000.pt"])
    checkpoint_store.delete_all([])
    names = ["search/t00000.pt", "search/t00001.pt", "search/t00002.pt", "search/t00004.pt", "tune/t00000.pt"]
    left = [name for name in names if checkpoint_store.get(name, tmp_path / "got")]
    assert left == ["search/t00001.pt", "search/t00004.pt", "tune/t00000.pt"]


class Counting(FSSpecHandler):  # type: ignore[misc]
    """A file system that counts what it is asked."""

    asked: ClassVar[list[str]] = []

    def get_file_info(self, paths: list[str]) -> Any:
        self.asked.append("head")
        return super().get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        self.asked.append("list")
        return super().get_file_info_selector(selector)

    def delete_file(self, path: str) -> None:
        self.asked.append("delete")
        super().delete_file(path)


def test_a_resume_asks_an_object_store_once_and_not_for_each_trial() -> None:
    filesystem = PyFileSystem(Counting(fsspec.filesystem("memory")))
    filesystem.create_dir("/bucket/search")
    for number in (3, 5):
        with filesystem.open_output_stream(f"/bucket/search/t{number:05d}.pt") as stream:
            stream.write(b"weights")
    Counting.asked.clear()
    CheckpointStore(filesystem, "/bucket").delete_all(f"search/t{number:05d}.pt" for number in range(1000))
    assert sorted(Counting.asked) == ["delete", "delete", "list"]
    assert not filesystem.get_file_info("/bucket/search/t00003.pt").is_file


def test_a_damaged_file_is_put_aside_under_one_name(checkpoint_store: CheckpointStore, tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        checkpoint_store.put(file_of(tmp_path, content), "search/t00000.pt")
        checkpoint_store.put_aside("search/t00000.pt")
    there = tmp_path / "got"
    assert not checkpoint_store.get("search/t00000.pt", there)
    assert checkpoint_store.get("search/t00000.pt.damaged", there)
    assert there.read_bytes() == b"second"
    checkpoint_store.put_aside("search/t00000.pt")  # again, after an outage: nothing is lost by it
    assert checkpoint_store.get("search/t00000.pt.damaged", there)


def test_a_sweep_has_a_place_of_its_own_name() -> None:
    assert below("/shared", "name") == "/shared/name"
    assert below("s3://bucket/prefix/", "name") == "s3://bucket/prefix/name"
    assert below("s3://bucket/prefix?region=eu", "name") == "s3://bucket/prefix/name?region=eu"
    where = "s3://bucket/prefix?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:1"
    for name in ("étude 2", "a#b", "a?b", "a%20b"):
        _, path = FileSystem.from_uri(below(where, name))
        assert path == f"bucket/prefix/{name}"


def test_a_folder_that_is_not_mounted_is_not_written(tmp_path: Path) -> None:
    """The mount point of a share that is gone is an empty folder of another disk."""
    checkpoint_store = CheckpointStore.ready(str(tmp_path / "share"))
    (tmp_path / "share").rename(tmp_path / "gone")
    (tmp_path / "share").mkdir()
    with pytest.raises(FileNotFoundError, match="not mounted here"):
        checkpoint_store.put(file_of(tmp_path, b"rows"), "search/t00000.pt")
    with pytest.raises(FileNotFoundError, match="not mounted here"):
        checkpoint_store.get("search/t00000.pt", tmp_path / "got")
    with pytest.raises(Faults, match="not mounted here"):
        CheckpointStore.ready(str(tmp_path / "share"), make=False)
    assert list((tmp_path / "share").iterdir()) == []
    (tmp_path / "share").rmdir()
    (tmp_path / "gone").rename(tmp_path / "share")
    CheckpointStore.ready(str(tmp_path / "share"), make=False)


def test_what_killed_processes_left_half_copied_goes_when_it_is_old(tmp_path: Path) -> None:
    checkpoint_store = CheckpointStore.ready(str(tmp_path))
    checkpoint_store.tidy("search")  # before its first trial
    checkpoint_store.put(file_of(tmp_path, b"rows"), "search/t00000.pt")
    old = time.time() - 2 * PATIENCE_S
    for name in (".t00001.pt.4711", ".t00002.held_out.4711", ".t00003.pt.4711", ".nfs000000000123"):
        (tmp_path / "search" / name).touch()
        if name != ".t00003.pt.4711":
            os.utime(tmp_path / "search" / name, (old, old))
    os.utime(tmp_path / "search" / "t00000.pt", (old, old))
    checkpoint_store.tidy("search")
    left = {file.name for file in (tmp_path / "search").iterdir()}
    assert left == {"t00000.pt", ".t00003.pt.4711", ".nfs000000000123"}


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second disk")
def test_a_folder_on_another_disk_gets_whole_files(tmp_path: Path) -> None:
    shared = Path("/dev/shm") / f"checkpoints-{os.getpid()}-{tmp_path.name}"
    try:
        checkpoint_store = CheckpointStore.ready(str(shared))
        checkpoint_store.put(file_of(tmp_path, b"rows"), "search/t00000.pt")
        assert [file.name for file in (shared / "search").iterdir()] == ["t00000.pt"]
        assert (shared / "search" / "t00000.pt").read_bytes() == b"rows"
        assert not (tmp_path / "local.pt").exists()
    finally:
        for file in shared.rglob("*"):
            if file.is_file():
                file.unlink()
        (shared / "search").rmdir()
        shared.rmdir()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("s3://no-such-bucket/x", "NO_SUCH_BUCKET"),
        ("s4://bucket/x", "s4"),
        ("s3://key:secret@bucket/x", "must not hold credentials"),
        ("{tmp_path}/file/below", "Not a directory"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_place_that_cannot_be_written_is_a_fault(tmp_path: Path, where: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Faults, match=message) as caught:
        CheckpointStore.ready(where.format(tmp_path=tmp_path))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "q?x=1", "per%20cent", "#hash", "a:b", "s3:"])
def test_any_folder_name_holds_checkpoints(tmp_path: Path, name: str) -> None:
    checkpoint_store = CheckpointStore.ready(str(tmp_path / name))
    checkpoint_store.put(file_of(tmp_path, b"rows"), "search/t00000.pt")
    assert (tmp_path / name / "search" / "t00000.pt").read_bytes() == b"rows"
    assert checkpoint_store.get("search/t00000.pt", tmp_path / "got")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [name]


def test_what_lies_beside_the_stages_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert CheckpointStore.ready(str(tmp_path)).is_empty()


def test_opening_a_place_neither_writes_nor_asks(tmp_path: Path) -> None:
    CheckpointStore.at(str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_a_disk_that_is_mounted_twice_takes_checkpoints_from_one_place_to_the_other(tmp_path: Path) -> None:
    """Both have its number, and the kernel renames nothing from one mount to another."""
    here, there = tmp_path / "here", tmp_path / "there"
    code = """
import os, sys
from pathlib import Path
from trainables.checkpoint_store import CheckpointStore
here, there = map(Path, sys.argv[1:])
store = CheckpointStore.ready(str(there))
(here / "t.pt").write_bytes(b"weights")
assert here.stat().st_dev == there.stat().st_dev
store.put(here / "t.pt", "search/t00000.pt")
print(*sorted(str(path.relative_to(there)) for path in there.rglob("*.pt")), *here.iterdir())
"""
    for place in (here, there):
        place.mkdir()
    mounts = "; ".join(f"mount --bind {place} {place}" for place in (here, there))
    assert in_own_mounts(mounts, code, str(here), str(there)) == "search/t00000.pt\n"
