"""A sweep watched while it runs: Prometheus, Ray's state API, optuna-dashboard, status; then one trial replayed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util.state import list_actors

from sweeps.cli.main import INTERRUPTED, main
from sweeps.commands import replay
from sweeps.commands.sweep_status import Status, status_of
from sweeps.design import Design
from sweeps.engine.watching.prometheus import ENDED, GAUGES
from sweeps.results import files, store
from sweeps.results.store import Store

pytestmark = pytest.mark.ray

NAME = "watched"
ENDLESS = 500
"""Trials planned: more than will run before everything has been seen, then the sweep is interrupted."""

PATIENCE_S = 240.0
INTERVAL_MS = 1000
"""Between exports of metrics; ten times as long by default."""

SHOWN = {f"ray_{name}" for name in GAUGES if name != "koleo_trial_gpu_peak_bytes"}
SAMPLE = re.compile(r"(?P<name>ray_koleo\w+)\{(?P<labels>.*)\} (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')

Sample = tuple[str, dict[str, str], float]


@dataclass
class Seen:
    """What was seen from outside while the sweep ran."""

    folder: Path
    samples: list[Sample] = field(default_factory=list)
    actors: set[str] = field(default_factory=set)
    log: str = ""
    studies: list[dict[str, Any]] = field(default_factory=list)
    status: Status | None = None
    errors: list[BaseException] = field(default_factory=list)


def until(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"Waited in vain for {what}."
        time.sleep(0.2)
    return found


def fetch(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""  # not up yet


def scraped() -> list[Sample]:
    """Our series as Prometheus reads them from this node."""
    page = fetch(f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics")
    found = (SAMPLE.fullmatch(line) for line in page.splitlines())
    return [(match["name"], dict(LABEL.findall(match["labels"])), float(match["value"])) for match in found if match]


def watch(seen: Seen) -> None:
    """Look until everything has been seen, then interrupt the sweep as Ctrl-C does."""
    try:
        until("trials in the store", lambda: files.holds_sweep(seen.folder) and len(rows(seen)) >= 2)
        seen.studies = studies_of(seen.folder / "optuna.db")

        def all_gauges() -> bool:
            seen.samples += scraped()
            return {*SHOWN, f"ray_{ENDED}_total"} <= {name for name, _, _ in seen.samples}

        until("all gauges", all_gauges)
        here, alive = ray.get_runtime_context().gcs_address, [("state", "=", "ALIVE")]
        actors = until("a trial's process", lambda: list_actors(here, filters=alive, detail=True))
        seen.actors = {actor.repr_name for actor in actors}
        logs = Path(ray.nodes()[0]["RayletSocketName"]).parents[1] / "logs"
        (log,) = logs.glob(f"worker-*-{actors[0].pid}.out")
        seen.log = until("two trials in the log", lambda: text if (text := log.read_text()).count(NAME) > 1 else "")

        def at_work() -> Status | None:
            status = status_of(seen.folder, {})
            return status if status.stages[0].running else None

        seen.status = until("a running trial", at_work)
    except BaseException as error:  # noqa: BLE001 - told by the fixture, in the thread that pytest watches
        seen.errors.append(error)
    finally:
        os.kill(os.getpid(), signal.SIGINT)


def studies_of(database: Path) -> list[dict[str, Any]]:
    """What optuna-dashboard says about the study of a sweep that runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    server = subprocess.Popen(
        [program, f"sqlite:///{database}", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        page = until("optuna-dashboard", lambda: fetch(f"http://127.0.0.1:{port}/api/studies"))
    finally:
        server.terminate()
        server.wait()
    found: list[dict[str, Any]] = json.loads(page)["study_summaries"]
    return found


@pytest.fixture(scope="module")
def _ray(start_ray: Callable[..., None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_metrics_report_interval_ms", str(INTERVAL_MS))  # the agent reads it here, the driver there
        start_ray(num_cpus=2, include_dashboard=True, _system_config={"metrics_report_interval_ms": INTERVAL_MS})
        yield


@pytest.fixture(scope="module")
def seen(tiny_design: Design, tmp_path_factory: pytest.TempPathFactory, _ray: None) -> Seen:
    results = tmp_path_factory.mktemp("results")
    quick = replace(tiny_design.presets["quick"], epochs=16)
    seen = Seen(results / NAME)
    watcher = threading.Thread(target=watch, args=(seen,))
    watcher.start()
    argv = f"--results {results} --name {NAME} --samples {ENDLESS} --stages search --max-concurrent 1".split()
    status = main(replace(tiny_design, presets={"quick": quick}), argv)
    watcher.join()
    assert not seen.errors
    assert status == INTERRUPTED
    return seen


def rows(seen: Seen) -> list[dict[str, Any]]:
    return store.read(seen.folder, "trials").to_pylist()


def test_prometheus_finds_every_running_trial_under_its_names(seen: Seen) -> None:
    ended = {row["trial_id"]: row for row in rows(seen)}
    for name, labels, value in seen.samples:
        assert (labels["sweep"], labels["stage"]) == (NAME, "search")
        if name in SHOWN and labels["trial"] in ended:
            assert labels["cell"] == ended[labels["trial"]]["cell_id"]
            curve = store.read(seen.folder, "curves").to_pylist()
            own = [row for row in curve if row["trial_id"] == labels["trial"]]
            if name == "ray_koleo_trial_val_auc":
                assert value in {row["val_auc"] for row in own}
            if name == "ray_koleo_trial_epoch":
                assert value in {row["epoch"] for row in own}


def test_series_end_with_their_trials_and_endings_add_up(seen: Seen) -> None:
    until("the end of the gauges", lambda: not any(name in SHOWN for name, _, _ in scraped()))
    expected = Counter((row["cell_id"], row["end_reason"]) for row in rows(seen))

    def counted() -> bool:
        found = {(labels["cell"], labels["end_reason"]): value for _, labels, value in scraped()}
        return found == expected

    until("the last endings", counted)


def test_a_process_is_named_by_sweep_and_stage_and_its_log_by_trial(seen: Seen) -> None:
    assert seen.actors == {f"{NAME}/search"}
    named = re.findall(rf"{NAME}/search (t\d+): (koleo=\w+), block 0, attempt 1", seen.log)
    cells = {row["trial_id"]: row["cell_id"] for row in rows(seen)}
    assert len(named) >= 2  # one process, trial after trial
    assert all(cells.get(trial_id, cell) == cell for trial_id, cell in named)


def test_optuna_dashboard_opens_the_study_of_a_running_sweep(seen: Seen) -> None:
    assert [study["study_name"] for study in seen.studies] == ["search"]


def test_status_tells_a_running_sweep_from_an_interrupted_one(seen: Seen) -> None:
    assert seen.status is not None
    assert seen.status.driver
    (during,) = seen.status.stages
    assert during.planned == ENDLESS
    assert sum(during.ended.values()) >= 2
    assert during.seconds_left
    after = status_of(seen.folder, {})
    assert not after.driver
    assert after.stages[0].ended == dict(Counter(row["end_reason"] for row in rows(seen)))
    assert {cell.cell_id for cell in after.cells} == {row["cell_id"] for row in rows(seen)}


def test_a_replayed_trial_gives_the_stored_rows(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    trial = rows(seen)[-1]
    assert replay.main([str(seen.folder), trial["trial_id"]]) == 0
    assert f"{trial['last_epoch']} epochs, all equal to the stored rows" in capsys.readouterr().out


def test_a_replayed_trial_tells_what_differs_first(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    trial = rows(seen)[0]
    curve = store.read(seen.folder, "curves").to_pylist()
    changed = next(row for row in curve if (row["trial_id"], row["epoch"]) == (trial["trial_id"], 2))
    del changed["stage"]
    altered = {**changed, "val_auc": changed["val_auc"] - 0.25, "elapsed_s": -1.0}
    Store.open(seen.folder).write("curves", "search", trial["trial_id"], trial["attempt"], [altered])
    assert replay.main([str(seen.folder), trial["trial_id"], "--stage", "search"]) == replay.DIFFERS
    out = capsys.readouterr().out
    assert f"epoch 2, val_auc: stored {altered['val_auc']}, now {changed['val_auc']}, 0.25 apart" in out
    assert "elapsed_s" not in out


def test_only_an_ended_trial_is_replayed(
    seen: Seen, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert replay.main(["t99999"]) == 2
    assert "No sweep in results" in capsys.readouterr().err
    (tmp_path / "results").symlink_to(seen.folder.parent)  # the latest there is the one
    assert replay.main(["t99999"]) == 2
    assert "Unknown ended trial `t99999`" in capsys.readouterr().err
