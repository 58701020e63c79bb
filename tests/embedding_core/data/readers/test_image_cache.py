"""The cache of decoded images: filled once per machine, whatever happens to the processes that fill it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from embedding_core.data.image_sets import load
from embedding_core.errors import Faults

WriteSet = Callable[..., Path]

DECODE = """
import sys
from pathlib import Path
from embedding_core.data.readers import image_cache
from embedding_core.data.readers.parquet_images import decode_parquet

log, write_images = Path(sys.argv[2]), image_cache.write_images

def counted(*args, **options):
    with log.open("a") as stream:
        stream.write("decoded\\n")
    return write_images(*args, **options)

image_cache.write_images = counted
images, labels, names, broken = decode_parquet(Path(sys.argv[1]))
print([int(value) for value in images.ravel()[:3]])
"""


def colour(n: int, h: int = 5, w: int = 7) -> list[np.ndarray]:
    return list(np.random.default_rng(2).integers(0, 256, (n, h, w, 3), dtype=np.uint8))


def decode_elsewhere(file: Path, log: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", DECODE, str(file), str(log)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(run: "subprocess.Popen[str]") -> list[int]:
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    values: list[int] = json.loads(out)
    return values


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_another_process_maps_what_the_first_decoded(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    file = write_set(colour(6), [0, 1] * 3)
    load("mine", tmp_path)
    (stored,) = cache.glob("*/images.npy")
    changed = np.load(stored)
    changed.ravel()[:3] = [11, 22, 33]  # only a reader of the cache can see this
    np.save(stored, changed)
    for lock in cache.glob("*.lock"):
        lock.unlink()
    assert answer(decode_elsewhere(file, tmp_path / "log")) == [11, 22, 33]
    assert not (tmp_path / "log").exists()
    assert not list(cache.glob("*.lock"))  # a cache that is filled need not be writable
    assert load("mine", tmp_path).images.flatten()[:3].tolist() == [11, 22, 33]


@pytest.mark.slow
def test_processes_that_start_together_decode_once(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    images = colour(200)
    file, log = write_set(images, [0, 1] * 100), tmp_path / "log"
    runs = [decode_elsewhere(file, log) for _ in range(4)]
    assert [answer(run) for run in runs] == [images[0].transpose(2, 0, 1).ravel()[:3].tolist()] * 4
    assert log.read_text() == "decoded\n"
    assert [path.suffix for path in entries(cache)] == [""]


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_is_taken_for_an_entry(
    write_set: WriteSet, tmp_path: Path, cache: Path
) -> None:
    images = colour(500, 60, 60)
    file = write_set(images, [0, 1] * 250)
    run = decode_elsewhere(file, tmp_path / "log")
    while not list(cache.glob("*.partial/images.npy")) and run.poll() is None:
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert torch.equal(load("mine", tmp_path).images, torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)))
    assert [path.suffix for path in entries(cache)] == [""]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "images.npy").unlink(),
        lambda entry: (entry / "labels.npy").unlink(),
        lambda entry: (entry / "class_names.json").unlink(),
        lambda entry: cut(entry / "images.npy"),
        lambda entry: cut(entry / "labels.npy"),
        lambda entry: cut(entry / "class_names.json"),
        lambda entry: (entry / "images.npy").write_bytes(b""),
        lambda entry: np.save(entry / "labels.npy", np.zeros(3, np.int64)),
        lambda entry: np.save(entry / "images.npy", np.zeros((6, 3, 5, 7))),
        lambda entry: [file.unlink() for file in entry.iterdir()],
        lambda entry: shutil.copytree(entry, entry.with_suffix(".partial")) and shutil.rmtree(entry),
    ],
)
def test_an_entry_that_is_not_whole_is_not_trusted(
    write_set: WriteSet, tmp_path: Path, cache: Path, damage: Callable[[Path], object]
) -> None:
    images = colour(6)
    write_set(images, [0, 1] * 3)
    load("mine", tmp_path)
    (entry,) = entries(cache)
    damage(entry)
    data = load("mine", tmp_path)
    assert torch.equal(data.images, torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)))
    assert data.labels.tolist() == [0, 1] * 3
    assert data.class_names == ("0", "1")
    assert entries(cache) == [entry]


def test_the_cache_goes_by_content_and_image_size(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    file = write_set(colour(2), [0, 1])
    load("mine", tmp_path)
    other = tmp_path / "copy" / "train.parquet"
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    load("copy", tmp_path)
    assert len(entries(cache)) == 1
    write_set(colour(2)[::-1], [0, 1])
    expected = torch.from_numpy(np.stack(colour(2)[::-1]).transpose(0, 3, 1, 2))
    assert torch.equal(load("mine", tmp_path).images, expected)
    assert len(entries(cache)) == 2
    assert load("mine", tmp_path, image_size=9).images.shape == (2, 3, 9, 9)
    assert torch.equal(load("mine", tmp_path).images, expected)
    assert len(entries(cache)) == 3


def test_an_older_decoders_entries_are_not_used(
    write_set: WriteSet, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(colour(2), [0, 1])
    load("mine", tmp_path)
    monkeypatch.setattr("embedding_core.data.readers.image_cache.DECODER_VERSION", 1)
    load("mine", tmp_path)
    assert len(entries(cache)) == 2


def test_writing_to_loaded_images_does_not_reach_the_cache(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(colour(2), [0, 1])
    load("mine", tmp_path).images.zero_()
    assert load("mine", tmp_path).images.any()


def test_a_broken_set_is_decoded_once_and_refused_each_time(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    images = colour(20)
    file = write_set([*images[:7], b"broken", *images[7:]], [0] * 21)
    for _ in range(2):
        with pytest.raises(Faults, match="row 7 is not an image"):
            load("mine", tmp_path)
    (entry,) = entries(cache)
    (entry / "seen").touch()
    data = load("mine", tmp_path, skip_broken=True)
    assert torch.equal(data.images, torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)))
    assert [line.partition(" is not")[0] for line in data.broken] == [f"{file}: row 7"]
    moved = file.parent.rename(tmp_path / "moved") / file.name
    (sentence,) = load("moved", tmp_path, skip_broken=True).broken
    assert sentence.startswith(f"{moved}: row 7 is not an image: ")
    assert (entry / "seen").exists()


def test_a_class_of_broken_images_alone_is_refused_in_any_case(
    write_set: WriteSet, tmp_path: Path, cache: Path
) -> None:
    write_set([*colour(3), b"broken", b"broken"], [0, 0, 1, 2, 2])
    for skip_broken in (False, True):
        with pytest.raises(Faults, match=r"no image of the class 2 \(2\) can be read"):
            load("mine", tmp_path, skip_broken=skip_broken)
    write_set([b"broken", b"broken"], [0, 1])
    with pytest.raises(Faults, match="none of the 2 images can be read"):
        load("mine", tmp_path, skip_broken=True)
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_is_told(
    write_set: WriteSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(colour(2), [0, 1])
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("EMBED_CACHE_DIR", str(blocked / "cache"))
    with pytest.raises(Faults, match=r"cannot be written .*EMBED_CACHE_DIR"):
        load("mine", tmp_path)


@pytest.mark.slow
def test_a_disk_that_fills_up_is_told(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    file = write_set([np.zeros((60, 60, 3), np.uint8)] * 200, [0, 1] * 100)  # 2 MB decoded
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    arguments = [sys.executable, "-c", limit + DECODE, str(file), str(tmp_path / "log")]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1
    assert "CacheUnwritable: The cache, " in run.stderr
    assert "free some space" in run.stderr
    assert entries(cache) == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_holds_a_part_of_the_set(write_set: WriteSet, tmp_path: Path) -> None:
    file = write_set([np.zeros((256, 256, 3), np.uint8)] * 1000, [0] * 1000)  # 197 MB decoded
    peak = "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    body = DECODE.replace("images, labels", "before = peak()\nimages, labels") + "print(peak() - before)"
    arguments = [sys.executable, "-c", peak + body, str(file), str(tmp_path / "log")]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    assert int(run.stdout.splitlines()[-1]) < 160_000  # kB: two blocks, and pyarrow
