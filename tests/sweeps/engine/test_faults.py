"""Whatever goes wrong in a trial or on a disk: each trial ends once, rightly named, with the rows of a calm run."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray
import torch
from rich.console import Console

from embedding_core.config.train_config import SAVE_EVERY_S, TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import patiently
from embedding_core.training import checkpoint
from sweeps.cli.main import main
from sweeps.design import Design, plan_file
from sweeps.design.plan import Plan
from sweeps.engine import runner, tuner
from sweeps.engine.machines.resources import Slots
from sweeps.engine.records import handover, recorder
from sweeps.engine.runner import run
from sweeps.engine.sweep import Sweep
from sweeps.results import files
from sweeps.results.store import Store, read
from trainables.checkpoint_store import CheckpointStore
from trainables.embedding import EmbeddingTrainable

pytestmark = pytest.mark.ray

PATIENCE_S = 300.0
DEADLINE_S = 10.0
EPOCHS = 3

Curve = list[dict[str, Any]]


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"Waited in vain for {what}."
        time.sleep(0.02)


class Hurt(EmbeddingTrainable):
    """Meets a fault of its own in the second epoch, by trial id."""

    notes = ""
    """Folder in which starts are counted."""

    def step(self) -> dict[str, Any]:
        # For the one step that hangs: how long any other takes is the machine's affair.
        hangs = self.config["trial_id"] == "t00001" and self.iteration == 1 and starts(Path(self.notes), "t00001") == 1
        self.config["epoch_deadline_s"] = DEADLINE_S if hangs else 0.0
        row = super().step()
        if self.config["trial_id"] == "t00005" and row["done"] and starts(Path(self.notes), "t00005") == 1:
            change_a_byte(Path(self.config["checkpoint_dir"]) / "confirm" / "t00005.held_out")
        return row

    def _start(self) -> Iterator[Row]:
        with (Path(self.notes) / self.config["trial_id"]).open("a") as file:
            file.write("started\n")
        return self._hurt(super()._start())

    def _hurt(self, rows: Iterator[Row]) -> Iterator[Row]:
        trial_id = self.config["trial_id"]
        for row in rows:
            first = starts(Path(self.notes), trial_id) == 1
            if row["epoch"] == 2:
                if trial_id == "t00000":
                    row["epoch"] / 0
                elif trial_id == "t00001" and first:
                    time.sleep(10 * PATIENCE_S)
                elif trial_id == "t00002" and first:
                    change_a_byte(Path(self.config["checkpoint_dir"]) / "confirm" / "t00002.pt")
                    os._exit(1)
                elif trial_id == "t00003":
                    torch.empty(2**60)
                elif trial_id == "t00004":
                    os._exit(1)
            yield row


def change_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def starts(notes: Path, trial_id: str) -> int:
    file = notes / trial_id
    return len(file.read_text().split()) if file.exists() else 0


@pytest.fixture(scope="module", autouse=True)
def ray_that_reaches_the_bucket(bucket: str, start_ray: Callable[..., None]) -> None:
    start_ray(num_cpus=2)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def sweep_in(tiny: Design) -> Callable[..., Sweep]:
    """`sweep_in(folder, trainable)` -> six confirmation runs there, new or to be gone on with; or two of a search.

    `blocks=1`: two confirmation runs, `PAIR`. One at a time unless `most` says otherwise: a process that starts costs
    more than all that it trains.
    """

    def build(
        folder: Path,
        trainable: type[EmbeddingTrainable] = EmbeddingTrainable,
        stages: str = "confirm",
        most: int = 1,
        blocks: int = 3,
        **options: Any,
    ) -> Sweep:
        plan = Plan.of(tiny, {"stages": stages, "samples": 2, "replicates": 1, "blocks": blocks, "epochs": EPOCHS})
        data = DeviceData.load(TrainConfig(), torch.device("cpu"))
        store = Store.open(folder) if (folder / "v1").exists() else Store.create(folder)
        if "checkpoints" in options:
            CheckpointStore.ready(options["checkpoints"])
        if not (folder / "plan.json").exists():
            plan_file.write(folder / "plan.json", plan_file.content_of(plan, folder.name))
        return Sweep(
            plan, folder, store, data, Slots(1, 0, most=most), Console(file=io.StringIO()), trainable, **options
        )

    return build


@pytest.fixture
def check_calm(
    loop_curve: Callable[..., Curve], stored_curve: Callable[..., Curve]
) -> Callable[[Path, set[str]], None]:
    """`check_calm(folder, trial_ids)`: these runs are complete, and every row is the loop's, once."""

    def check(folder: Path, trial_ids: set[str]) -> None:
        trials = {row["trial_id"]: row for row in read(folder, "trials").to_pylist()}
        assert {trial_id for trial_id in trials if trials[trial_id]["end_reason"] == "completed"} == trial_ids
        for trial_id in trial_ids:
            assert trials[trial_id]["last_epoch"] == EPOCHS
            assert stored_curve(folder, "confirm", trial_id) == loop_curve(trials[trial_id])
        groups = read(folder, "eval_groups")
        assert set(groups["trial_id"].to_pylist()) == trial_ids
        final = [(row["trial_id"], row["attempt"]) for row in read(folder, "trials", attempts="all").to_pylist()]
        assert len(set(final)) == len(final)

    return check


ALL = {f"t{i:05d}" for i in range(6)}
PAIR = {"t00000", "t00001"}


def test_each_fault_of_a_trial_has_its_ending_and_a_resume_runs_again_what_was_not_the_trials_doing(
    sweep_in: Callable[..., Sweep],
    check_calm: Callable[[Path, set[str]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuner, "RETRIES", 1)
    monkeypatch.setattr(runner, "PREEMPTED_ROUNDS", 1)
    notes, folder = tmp_path / "notes", tmp_path / "hurt"
    notes.mkdir()
    monkeypatch.setattr(Hurt, "notes", str(notes))
    assert run(sweep_in(folder, Hurt, most=2))
    trials = {row["trial_id"]: row for row in read(folder, "trials").to_pylist()}
    assert {trial_id: (row["end_reason"], starts(notes, trial_id)) for trial_id, row in trials.items()} == {
        "t00000": ("error", 1),  # a bug is the same at the next attempt
        "t00001": ("completed", 2),  # hung once
        "t00002": ("completed", 3),  # killed, its checkpoint not to be read, begun anew
        "t00003": ("oom", 1),
        "t00004": ("preempted", 4),  # its process died as often as it may, and again after the others
        "t00005": ("completed", 2),  # what it handed over was not to be read: computed again
    }
    assert trials["t00000"]["error_type"] == "ZeroDivisionError: division by zero"
    assert 'row["epoch"] / 0' in trials["t00000"]["traceback"]
    assert "allocate" in trials["t00003"]["error_type"]
    assert "worker process has died" in trials["t00004"]["error_type"]
    damaged = {file.name for file in folder.glob("checkpoints/confirm/*.damaged")}
    assert damaged == {"t00002.pt.damaged", "t00005.pt.damaged", "t00005.held_out.damaged"}
    check_calm(folder, {"t00001", "t00002", "t00005"})

    assert run(sweep_in(folder))
    check_calm(folder, ALL)
    attempts = {row["trial_id"]: row["attempt"] for row in read(folder, "trials").to_pylist()}
    assert attempts == dict.fromkeys(ALL, 1) | {"t00000": 2, "t00003": 2, "t00004": 3, "t00005": 2}


def test_a_death_in_the_search_is_told_to_the_study(
    sweep_in: Callable[..., Sweep],
    study_states: Callable[[Path], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuner, "RETRIES", 0)
    monkeypatch.setattr(runner, "PREEMPTED_ROUNDS", 0)
    notes, folder = tmp_path / "notes", tmp_path / "search"
    notes.mkdir()
    monkeypatch.setattr(Hurt, "notes", str(notes))
    monkeypatch.setattr(Hurt, "_hurt", _die_at_once)
    assert run(sweep_in(folder, Hurt, stages="search"))
    endings = {row["trial_id"]: row["end_reason"] for row in read(folder, "trials").to_pylist()}
    assert endings["t00001"] == "preempted"
    assert study_states(folder)["t00001"] == "FAIL"


def written(folder: Path) -> int:
    """Final rows, over all attempts; none before there is a store."""
    return len(read(folder, "trials", attempts="all")) if files.holds_sweep(folder) else 0


@pytest.fixture
def during() -> Iterator[Callable[[Callable[[], None]], None]]:
    """`during(act)` runs `act` beside the test, which fails if `act` does."""
    failed: list[BaseException] = []
    threads = []

    def run(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)
            raise

    def start(act: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=run, args=(act,)))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not failed


def told(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in message for message in caplog.messages)


def test_results_that_are_gone_for_a_while_are_waited_for_and_for_long_end_the_sweep_in_good_order(
    sweep_in: Callable[..., Sweep],
    check_calm: Callable[[Path, set[str]], None],
    during: Callable[[Callable[[], None]], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, away = tmp_path / "results", tmp_path / "away"
    elsewhere = str(tmp_path / "checkpoints")  # else every trial may wait for its own, and the driver have no row
    skipped = [0.0]
    clock = partial(patiently, clock=lambda: time.monotonic() + skipped[0])
    monkeypatch.setattr(recorder, "patiently", clock)

    def gone_and_back() -> None:
        wait_for("a first trial's end", lambda: written(folder))
        folder.rename(away)
        wait_for("the driver to notice", lambda: told(caplog, "Trying again"))
        assert not folder.exists()
        away.rename(folder)
        wait_for("the driver to go on", lambda: told(caplog, "it works again"))
        folder.rename(away)
        wait_for("the driver to notice again", lambda: told(caplog, "Trying again") == 2)
        skipped[0] = 2 * recorder.PATIENCE_S  # ten minutes go by

    during(gone_and_back)
    with pytest.raises(Faults, match="The results could not be written"):
        run(sweep_in(folder, checkpoints=elsewhere))
    away.rename(folder)
    before = written(folder)
    assert 1 <= before < len(ALL)
    monkeypatch.undo()
    assert run(sweep_in(folder, checkpoints=elsewhere))
    check_calm(folder, ALL)
    assert written(folder) == len(ALL)


def test_a_full_disk_is_waited_out(
    sweep_in: Callable[..., Sweep],
    check_calm: Callable[[Path, set[str]], None],
    during: Callable[[Callable[[], None]], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Results and checkpoints on a small disk that something else fills."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs a disk to fill: {mounted.stderr.strip()}")
    folder = disk / "results"

    def fill_and_free() -> None:
        wait_for("a first trial's end", lambda: written(folder))
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        # Whoever writes first: the driver, or a trial, whose words are in the log of its process.
        logs = Path(ray._private.worker._global_node.get_logs_dir_path())
        wait_for(
            "somebody to notice",
            lambda: told(caplog, "No space left") or any("No space left" in f.read_text() for f in logs.glob("w*.err")),
        )
        filler.unlink()

    try:
        during(fill_and_free)
        assert run(sweep_in(folder))
        check_calm(folder, ALL)
        assert written(folder) == len(ALL)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_checkpoints_in_a_bucket_survive_the_death_of_a_process(
    sweep_in: Callable[..., Sweep],
    check_calm: Callable[[Path, set[str]], None],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuner, "RETRIES", 1)
    notes, folder = tmp_path / "notes", tmp_path / "remote"
    notes.mkdir()
    monkeypatch.setattr(Hurt, "notes", str(notes))
    monkeypatch.setattr(Hurt, "_hurt", _die_once)
    place = f"{bucket}/remote"
    assert run(sweep_in(folder, Hurt, blocks=1, checkpoints=place))
    check_calm(folder, PAIR)
    sent = read(folder, "curves", attempts="all").to_pylist()
    readings = [row["elapsed_s"] for row in sent if (row["trial_id"], row["epoch"]) == ("t00001", 1)]
    assert len(readings) == 2
    assert len(set(readings)) == 1, "read from the checkpoint, not computed again"
    assert not (folder / "checkpoints").exists()
    assert checkpoint.read(folder / "best" / "model.pt")["network"]
    checkpoint_store = CheckpointStore.at(place)
    assert checkpoint_store.get("confirm/t00000.pt", tmp_path / "there")  # all of the confirmation stay
    assert not checkpoint_store.get("confirm/t00000.held_out", tmp_path / "there")  # in the store now


def test_a_process_that_dies_between_checkpoints_costs_what_was_trained_since(
    sweep_in: Callable[..., Sweep],
    check_calm: Callable[[Path, set[str]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuner, "RETRIES", 1)
    notes, folder = tmp_path / "notes", tmp_path / "between"
    notes.mkdir()
    monkeypatch.setattr(Hurt, "notes", str(notes))
    monkeypatch.setattr(Hurt, "_hurt", _die_once)
    assert run(sweep_in(folder, Hurt, blocks=1, save_every_s=SAVE_EVERY_S))
    check_calm(folder, PAIR)
    sent = read(folder, "curves", attempts="all").to_pylist()
    readings = [row["elapsed_s"] for row in sent if (row["trial_id"], row["epoch"]) == ("t00001", 1)]
    assert len(set(readings)) == 2, "computed twice"
    curve = [row for row in read(folder, "curves").to_pylist() if row["trial_id"] == "t00001"]
    assert curve[0]["elapsed_s"] == readings[-1], "the later one counts, as do the rows after it"
    assert [row["elapsed_s"] for row in curve] == sorted(row["elapsed_s"] for row in curve)
    [trial] = [row for row in read(folder, "trials").to_pylist() if row["trial_id"] == "t00001"]
    assert trial["wall_s"] == curve[-1]["elapsed_s"]


def _die_at_once(self: Hurt, rows: Iterator[Row]) -> Iterator[Row]:
    if self.config["trial_id"] == "t00001":
        os._exit(1)
    yield from rows


def _die_once(self: Hurt, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        if row["epoch"] == 2 and self.config["trial_id"] == "t00001" and starts(Path(self.notes), "t00001") == 1:
            os._exit(1)
        yield row


def test_a_resume_finds_the_place_again_and_takes_no_other(
    tiny: Design, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "SEEN_AFTER_S", 0.0)
    argv = ["--results", str(tmp_path), "--name", "kept", "--epochs", "1", "--checkpoints", f"{bucket}/cli"]
    argv += ["--max-concurrent", "1"]
    confirm = ["--stages", "confirm"]
    assert main(tiny, [*argv, *confirm]) == 0
    assert bucket not in (tmp_path / "kept" / "plan.json").read_text()
    checkpoint_store = CheckpointStore.at(f"{bucket}/cli/kept")
    assert checkpoint_store.get("confirm/t00000.pt", tmp_path / "there")
    # A complete checkpoint without the results on held-out images, which the store has lost: computed again.
    for table in ("trials", "curves"):
        for file in tmp_path.glob(f"kept/v1/{table}/stage=confirm/*.parquet"):
            rows = pq.read_table(file)
            pq.write_table(rows.filter(pc.not_equal(rows["trial_id"], "t00000")), file)
        (tmp_path / "kept" / "compact" / table / "stage=confirm.parquet").unlink()
    assert main(tiny, ["--results", str(tmp_path), "--name", "kept", "--max-concurrent", "1", "--resume"]) == 0
    again = {row["trial_id"]: row for row in read(tmp_path / "kept", "trials").to_pylist()}["t00000"]
    assert (again["end_reason"], again["attempt"]) == ("completed", 3)
    assert not (tmp_path / "kept" / "checkpoints").exists()
    capsys.readouterr()
    elsewhere = ["--results", str(tmp_path), "--name", "kept", "--resume", "--checkpoints", str(tmp_path / "here")]
    assert main(tiny, elsewhere) == 2
    assert f"keeps its checkpoints in {bucket}/cli/kept" in capsys.readouterr().err
    assert main(tiny, ["--results", str(tmp_path / "other"), *argv[2:]]) == 2
    assert "holds the checkpoints of an earlier sweep" in capsys.readouterr().err
    assert main(tiny, ["--results", str(tmp_path), "--name", "new", "--checkpoints", "s3://no-such-bucket/x"]) == 2
    assert "NO_SUCH_BUCKET" in capsys.readouterr().err
