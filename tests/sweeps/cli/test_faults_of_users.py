"""Faults a user can act on: exit status 2, one message, before Ray starts, and nothing created or changed."""

import errno
import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
from PIL import Image
from rich.console import Console

from sweeps.cli import session
from sweeps.cli.main import main
from sweeps.cli.options import parse
from sweeps.cli.sweep_folder import held_folder
from sweeps.design import Design, plan_file
from sweeps.design.plan import Plan
from sweeps.koleo_accum import DESIGN
from sweeps.results.store import Store
from sweeps.results.sweep_log import FILE, SweepLog

Tree = Callable[[Path], dict[str, str]]


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBED_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def refused(tiny: Design, tmp_path: Path, capsys: pytest.CaptureFixture[str], tree: Tree) -> Callable[..., str]:
    """`refused(line)` -> the message; the results folder is as it was, and Ray was not started."""

    def run(line: str, design: Design = tiny) -> str:
        results = tmp_path / "results"
        existed, before = results.exists(), tree(tmp_path)
        assert main(design, ["--local", "--results", str(results), *line.split()]) == 2
        assert not ray.is_initialized()
        assert (results.exists(), tree(tmp_path)) == (existed, before)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err.strip()

    return run


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Path]:
    """`images(n, broken={row: bytes}, labels={row: label})` -> `mine/train.parquet` under the data root `data`."""

    def write(n: int = 400, *, broken: dict[int, bytes] | None = None, labels: dict[int, int] | None = None) -> Path:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        given = [(labels or {}).get(i, i % 2) for i in range(n)]
        folder = tmp_path / "data" / "mine"
        folder.mkdir(parents=True)
        for split, first in (("train", 0), ("test", n)):
            rows = [{"bytes": (broken or {}).get(i, png(first + i)), "path": f"{i}.png"} for i in range(n)]
            table = pa.table({"image": pa.array(rows, kind), "label": pa.array(given, pa.int64())})
            pq.write_table(table.replace_schema_metadata({"class_names": '["a", "b"]'}), folder / f"{split}.parquet")
        return folder / "train.parquet"

    return write


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_tf32_without_a_gpu(refused: Callable[..., str]) -> None:
    expected = "`precision` must be float32, bf16 or auto on a machine without a CUDA device, but got tf32."
    assert refused("--set precision=tf32") == expected


def test_unknown_data_set(refused: Callable[..., str], tmp_path: Path) -> None:
    message = refused(f"--dataset cifar11 --data-root {tmp_path}")
    assert "cifar11" in message
    assert str(tmp_path) in message
    assert len(message.splitlines()) == 1


def test_truncated_parquet(refused: Callable[..., str], images: Callable[..., Path], tmp_path: Path) -> None:
    file = images()
    file.write_bytes(file.read_bytes()[:1000])
    message = refused(f"--dataset mine --data-root {tmp_path / 'data'}")
    assert f"{file} is not a readable Parquet file (truncated?)" in message
    assert len(message.splitlines()) == 1


def test_rows_that_are_no_images(refused: Callable[..., str], images: Callable[..., Path], tmp_path: Path) -> None:
    file = images(broken={3: b"GIF89a, or so it says", 7: png(7)[:60]})
    lines = refused(f"--dataset mine --data-root {tmp_path / 'data'}").splitlines()
    broken = [f"{one}: row {row}" for one in (file, file.with_name("test.parquet")) for row in (3, 7)]
    assert [line.split(" is not an image")[0] for line in lines[:-1]] == broken
    assert "`--skip-broken`" in lines[-1]


def test_labels_outside_the_class_list(
    refused: Callable[..., str], images: Callable[..., Path], tmp_path: Path
) -> None:
    file = images(labels={5: 2, 9: -1})
    assert refused(f"--dataset mine --data-root {tmp_path / 'data'}").startswith(
        f"{file}: 2 labels lie outside the 2 classes; the first is 2 in row 5. "
    )


@pytest.mark.slow
def test_fewer_images_than_a_batch(refused: Callable[..., str], images: Callable[..., Path], tmp_path: Path) -> None:
    images(100)
    message = refused(f"--dataset mine --data-root {tmp_path / 'data'} --set batch_size=128", DESIGN)
    assert "`batch_size` must be at most the" in message
    assert "but got 128" in message
    assert refused("--loss triplet --train-triplets 100 --set batch_size=128", DESIGN).endswith(
        "at most the 100 training triplets, but got 128: batch_size=32 fits."
    )


def test_a_usable_set_of_ones_own_passes_the_same_checks(
    images: Callable[..., Path], tiny: Design, given_rates: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images()
    argv = f"--plan --local --dataset mine --data-root {tmp_path / 'data'} --results {tmp_path / 'results'}"
    assert main(tiny, argv.split()) == 0
    assert "mine, 400 images" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="needs a machine without a GPU")
def test_more_gpus_than_the_machine_has(refused: Callable[..., str]) -> None:
    assert refused("--gpus-per-trial 1") == "`--gpus-per-trial` must be at most the 0 GPUs of a node, but got 1."


def test_more_gpus_than_a_trial_uses(refused: Callable[..., str]) -> None:
    """The others would be held, and idle."""
    told = "`--gpus-per-trial` must be at most 1, as a trial trains on one GPU, but got 2."
    assert refused("--gpus-per-trial 2") == told


def test_more_cpus_than_the_machine_has(refused: Callable[..., str]) -> None:
    there = os.cpu_count()
    assert refused("--cpus-per-trial 4096") == (
        f"`--cpus-per-trial` must be at most the {there} CPUs of a node, but got 4096."
    )


def test_flags_settings_data_and_machine_are_told_together(refused: Callable[..., str], tmp_path: Path) -> None:
    message = refused(f"--dataset cifar11 --data-root {tmp_path} --set batch_size=63 --cpus-per-trial 4096", DESIGN)
    for part in ("cifar11", "batch_size=63", "4096"):
        assert part in message
    message = refused("--sampels 3 --blocks 0 --set koleo_wieght=.1")
    assert len(message.splitlines()) == 3


def started(folder: Path) -> Path:
    """A sweep whose driver was killed before its first trial."""
    Store.create(folder)
    plan_file.write(folder / "plan.json", plan_file.content_of(Plan.of(DESIGN, {}), folder.name))
    return folder


@pytest.mark.slow
def test_a_name_in_use(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = started(tmp_path / "results" / "mine")
    assert refused("--name mine", DESIGN) == (
        f"`{folder}` already holds a sweep: continue it with `--resume`, or give another `--name`."
    )


def test_made_up_names_are_counted_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody who gives no name is told that it is taken."""
    started(tmp_path / "koleo_accum-quick-digits-1")
    assert main(DESIGN, ["--results", str(tmp_path), "--local", "--stages", "confirm", "--cpus-per-trial", "4096"]) == 2
    assert "holds a sweep" not in capsys.readouterr().err


@pytest.mark.slow
def test_sweeps_that_start_in_one_moment_have_a_folder_each(tmp_path: Path) -> None:
    """And nothing is left of those that put nothing there, nor of the folder above."""
    options = parse(DESIGN, ["--results", str(tmp_path / "deep" / "results")])
    together = Barrier(8)

    def start(keeps: bool) -> Path:
        together.wait()
        with held_folder(DESIGN, options) as folder:
            together.wait()
            if keeps:
                Store.create(folder)
        return folder

    with ThreadPoolExecutor(8) as pool:
        kept = [True, False, False, False, False, True, False, False]
        folders = list(pool.map(start, kept))
    assert len(set(folders)) == 8
    here = {folder for folder, keeps in zip(folders, kept, strict=True) if keeps}
    assert set(options.results.iterdir()) == here
    with held_folder(DESIGN, parse(DESIGN, ["--results", str(tmp_path / "other" / "results")])) as folder:
        assert folder.is_dir()
    assert not (tmp_path / "other").exists()


def test_a_path_too_long_for_rays_sockets(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", f"/tmp/{'x' * 95}")
    said = refused("--name mine")
    assert "(TMPDIR) has 100 characters" in said
    assert said.endswith("name a shorter folder for Ray, `export RAY_TMPDIR=/tmp`.")
    assert "cluster" not in said


def test_resume_of_another_schema_version(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = started(tmp_path / "results" / "old")
    (folder / "schema_version").write_text("7\n")
    message = refused("--name old --resume", DESIGN)
    assert "has schema version 7" in message
    assert "version 1" in message
    assert len(message.splitlines()) == 1


def test_resume_of_what_is_not_there(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "found no sweep of tiny" in refused("--resume")
    assert "does not exist" in refused("--resume --name nothing")
    started(tmp_path / "results" / "mine")
    message = refused("--resume --name mien", DESIGN)
    assert "Did you mean `mine`?" in message


def test_resume_with_a_changed_flag(refused: Callable[..., str], tmp_path: Path) -> None:
    started(tmp_path / "results" / "mine")
    assert "`samples` is 8 there, 9 here" in refused("--resume --name mine --samples 9", DESIGN)


def test_resume_with_another_design(refused: Callable[..., str], tmp_path: Path) -> None:
    started(tmp_path / "results" / "mine")
    assert "belongs to another design (koleo_accum)" in refused("--resume --name mine")


def test_results_below_a_file(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "results").write_text("not a folder")
    message = refused("")
    assert "cannot be written" in message
    assert "another `--results`" in message


def test_a_disk_that_is_full(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the driver meets it; Ray's own files are the first that it has written."""

    def full(where: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "session")

    monkeypatch.setattr(session, "connect", full)
    message = refused("")
    assert "No space left on device: 'session'" in message
    assert "`--resume`" in message


def test_that_a_damaged_file_was_put_aside_is_in_the_log_of_the_sweep(
    tiny: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal is closed, and of a driver in a pod nobody has read it. Nothing that needs Ray takes part."""
    options = parse(tiny, ["--local", "--results", str(tmp_path), "--name", "mine", "--resume"])
    folder = tmp_path / "mine"
    store = Store.create(folder)
    plan_file.write(folder / "plan.json", plan_file.content_of(Plan.of(tiny, {}), "mine"))
    file = store.write("curves", "search", "t00000", 1, [{"epoch": 1}])
    assert file is not None
    file.write_bytes(b"")
    monkeypatch.setattr(session, "connect", lambda where: None)
    monkeypatch.setattr(session, "slots", lambda *_, **__: SimpleNamespace(room=lambda: 1))
    monkeypatch.setattr(session.runner, "run", lambda sweep: True)
    untouched: Any = SimpleNamespace(handle=lambda: None)
    session.carry_out(tiny, options, folder, Console(quiet=True), SweepLog(), untouched)
    assert f"`{file}` is damaged, and now lies below" in (folder / FILE).read_text()


@pytest.mark.slow
def test_results_without_permission(tmp_path: Path, tree: Tree) -> None:
    """In a process without root's power over permissions."""
    command = [sys.executable, "-c", "from sweeps.cli.main import main; from sweeps.koleo_accum import DESIGN; "
               "raise SystemExit(main(DESIGN))", "--local", "--results", str(tmp_path / "results")]  # fmt: skip
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("running as root, and no setpriv to give its power up")
        capabilities = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", *command]
    (tmp_path / "results").mkdir()
    (tmp_path / "results").chmod(0o555)
    before = tree(tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(tmp_path) == before


def test_a_cluster_that_does_not_answer(refused_by_cluster: Callable[[str], str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        message = refused_by_cluster(address)
    assert f"No Ray cluster answers at `{address}`" in message
    assert "No Ray cluster answers at `nonsense`" in refused_by_cluster("nonsense")


@pytest.fixture
def refused_by_cluster(tiny: Design, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """`refused_by_cluster(address)` -> the message; no folder is made."""

    def run(address: str) -> str:
        assert main(tiny, ["--address", address, "--results", str(tmp_path / "results")]) == 2
        assert not (tmp_path / "results").exists()
        return capsys.readouterr().err

    return run
