"""Each name of Ray or Optuna that `private_api` leans on, and each switch: a new version that moves one fails here."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, call

import optuna
import pytest
import ray
from optuna.trial import FrozenTrial, Trial, TrialState
from ray._common.usage import usage_constants
from ray._private import accelerators, services
from ray._raylet import RAY_NODE_GROUP_KEY
from ray.air.constants import AIR_ENV_VARS
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayTaskError
from ray.train.constants import RAY_CHDIR_TO_TRIAL_DIR
from ray.tune.constants import TUNE_ENV_VARS
from ray.tune.execution import cluster_info, tune_controller
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler

from sweeps.engine.machines.cluster import DRIVER_ENVIRONMENT, TRIAL_ENVIRONMENT
from sweeps.engine.private_api import (
    AUTOSCALER_CONFIG,
    HostMemoryError,
    SoleWriter,
    address_of_auto,
    end_processes,
    gone_on_with,
    last_error,
    memory_deaths_survived,
    reported,
)
from trainables.embedding import NODE_TYPE_LABEL

ROOT = Path(__file__).parents[3]


def test_the_tune_controller_finds_ray_actor_manager_by_its_own_name() -> None:
    assert "RayActorManager(" in inspect.getsource(tune_controller.TuneController.__init__)
    assert tune_controller.RayActorManager is RayActorManager
    with memory_deaths_survived():
        assert issubclass(tune_controller.RayActorManager, RayActorManager)
        assert tune_controller.RayActorManager is not RayActorManager
    assert tune_controller.RayActorManager is RayActorManager


def test_ray_actor_manager_hands_errors_to__actor_task_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = list(inspect.signature(RayActorManager._actor_task_failed).parameters)
    assert parameters == ["self", "tracked_actor_task", "exception"]
    killed = OutOfMemoryError("Memory on the node was low.")
    with pytest.raises(RuntimeError, match="unexpected exception"):  # else nothing of ours is needed any more
        RayActorManager._actor_task_failed(MagicMock(), MagicMock(), killed)
    seen: list[Exception] = []
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", lambda manager, task, error: seen.append(error))
    with memory_deaths_survived():
        ours = tune_controller.RayActorManager
    manager = object.__new__(ours)
    for error in (killed, ValueError("x")):
        ours._actor_task_failed(manager, MagicMock(), error)
    assert [type(error) for error in seen] == [HostMemoryError, ValueError]
    assert "Memory on the node was low." in str(seen[0])


def test_a_trial_leaves_its_last_error_in_pickled_error_file(tmp_path: Path) -> None:
    class Local(RayTrial):
        """Needs no Ray to know its folder."""

        local_path = str(tmp_path)

    trial = Local("stub", stub=True)
    assert last_error(trial) is None
    trial.handle_error(RayTaskError("step", "Traceback", KeyError("x")))
    found = last_error(trial)
    assert isinstance(found, RayTaskError)
    assert isinstance(found.cause, KeyError)


def test_a_trial_has_its_process_in_ray_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(ray, "kill", ended.append)
    waits, runs = RayTrial("stub", stub=True), RayTrial("stub", stub=True)
    runs.set_ray_actor(process := MagicMock())
    end_processes([waits, runs])
    assert ended == [process]


@pytest.fixture
def begun() -> tuple[optuna.Study, FrozenTrial]:
    """A study, and its one trial as its storage has it: drawn, reported once, and left RUNNING."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    trial.suggest_float("lr", 0.0, 1.0)
    trial.report(0.5, 300)
    return study, study.get_trials()[0]


def test_a_stored_trial_has_its__trial_id_and_trial_takes_it(begun: tuple[optuna.Study, FrozenTrial]) -> None:
    study, stored = begun
    assert list(inspect.signature(Trial).parameters) == ["study", "trial_id"]
    trial = gone_on_with(study, stored)
    assert trial._trial_id == stored._trial_id
    assert trial.suggest_float("lr", 0.0, 1.0) == stored.params["lr"]
    study.tell(trial, 0.7)
    assert [(t.state, t.value) for t in study.get_trials()] == [(TrialState.COMPLETE, 0.7)]


def test_a_trial_has_its_storage_which_knows_the_steps_reported(begun: tuple[optuna.Study, FrozenTrial]) -> None:
    study, stored = begun
    assert reported(gone_on_with(study, stored)) == {300: 0.5}


@pytest.mark.slow
def test_the_cached_storage_of_a_sole_writer_holds_what_the_file_holds(tmp_path: Path) -> None:
    """After each kind of write, in two studies of one file, and in one that was there before."""
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(storage=url, study_name="a").add_trial(optuna.create_trial(value=1.0))
    storage = SoleWriter(optuna.storages.RDBStorage(url))
    a, b = (optuna.create_study(storage=storage, study_name=name, load_if_exists=True) for name in "ab")

    def same() -> None:
        for study in (a, b):
            assert (
                study.get_trials(deepcopy=False) == optuna.load_study(study_name=study.study_name, storage=url).trials
            )

    same()
    a.enqueue_trial({"x": 0.25})
    first, second, other = a.ask(), a.ask(), b.ask()
    same()
    first.suggest_float("x", 0, 1)
    first.report(0.5, 300)
    other.suggest_categorical("c", ["u", "v"])
    same()
    second.set_user_attr("of", "ours")
    second.set_constraint("finite", 1.0)
    same()
    a.tell(first, 0.5)
    b.tell(other, state=TrialState.FAIL)
    same()
    a.tell(gone_on_with(a, a.get_trials()[-1]), state=TrialState.PRUNED)
    a.ask().report(0.1, 1)
    same()


def test__get_trials_reads_what_was_written_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = SoleWriter(optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}"))
    study = optuna.create_study(storage=storage)
    trials = [study.ask() for _ in range(5)]
    study.get_trials()
    read = []
    original = storage._backend._get_trials
    monkeypatch.setattr(
        storage._backend, "_get_trials", lambda *a, **k: read.append(found := original(*a, **k)) or found
    )
    trials[2].report(0.5, 1)
    study.get_trials()
    study.get_trials()
    assert [[trial.number for trial in found] for found in read] == [[2], []]


def test_ray_up_leaves_the_autoscalers_config_in_ray_bootstrap_config() -> None:
    assert f'"{AUTOSCALER_CONFIG}"' in inspect.getsource(cluster_info)


KNOWN = {
    *TUNE_ENV_VARS,
    *AIR_ENV_VARS,
    RAY_CHDIR_TO_TRIAL_DIR,
    usage_constants.USAGE_STATS_ENABLED_ENV_VAR,
    accelerators.RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR,
}
RAYLET = Path(ray.__file__).parent / "core" / "src" / "ray" / "raylet" / "raylet"
"""The program that each node runs has switches of its own, which nothing written in Python knows."""
SWITCHES = [name for name in {**DRIVER_ENVIRONMENT, **TRIAL_ENVIRONMENT} if not name.startswith("PYTORCH")]


@pytest.mark.parametrize("name", SWITCHES)
def test_ray_still_reads_the_switch(name: str) -> None:
    """It would be silent about one that it no longer knows."""
    assert name in KNOWN or name.removeprefix("RAY_").encode() in RAYLET.read_bytes()


def test_ray_labels_a_node_with_the_autoscalers_name_of_its_type() -> None:
    assert NODE_TYPE_LABEL == RAY_NODE_GROUP_KEY


@pytest.mark.parametrize("decision", [TrialScheduler.CONTINUE, TrialScheduler.STOP])
def test_the_tune_controller_asks_the_scheduler_first_in__process_trial_result(decision: str) -> None:
    """What `ImagesSeenASHA` stores is on the disk before searcher and callbacks hear of the row."""
    order = MagicMock()
    order.scheduler.on_trial_result.return_value = decision
    order.stopper.return_value = False
    controller: Any = SimpleNamespace(
        _scheduler_alg=order.scheduler, _search_alg=order.searcher, _callbacks=order.callbacks, _stopper=order.stopper,
        _total_time=0, _iteration=1, _trials=[], _cached_trial_decisions={}, _wrapped=lambda: None,
        _validate_result_metrics=lambda result: None, _mark_trial_to_checkpoint=lambda trial: None,
        _checkpoint_trial_if_needed=lambda trial, force: None, _queue_decision=order.decided,
    )  # fmt: skip
    trial = MagicMock(trial_id="r", is_saving=False)
    trial.should_stop.return_value = False
    tune_controller.TuneController._process_trial_result(controller, trial, {"val_auc": 0.5})
    told = [name for name, _, _ in order.mock_calls if name not in ("stopper", "callbacks.__bool__")]
    searcher = ["searcher.on_trial_result"] if decision == TrialScheduler.CONTINUE else []
    assert told == ["scheduler.on_trial_result", *searcher, "callbacks.on_trial_result", "decided"]
    assert order.decided.call_args == call(trial, decision)


ALLOWED = {
    "_asdict": "documented for named tuples, whatever its underscore says",
    "_replace": "likewise",
    "_BatchNorm": "torch's base class of all its batch norms, which has no public name",
}


def private_names(file: Path) -> Iterator[str]:
    """Private names of others that a file uses: attributes, but for those it defines itself, and imports."""
    tree = ast.parse(file.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {ast.unparse(node.target) for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if is_private(node.attr) and node.attr not in own | set(ALLOWED):
                yield ast.unparse(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for name in (module, *(alias.name for alias in node.names)):
                if any(is_private(part) for part in name.split(".")):
                    yield ast.unparse(node)


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def test_the_search_for_private_names_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(
        "from ray._private import worker\nimport optuna._hypervolume\n"
        "class A:\n    def f(self, other):\n        self._x = other._y._asdict()\n        return A()._x, self._z\n"
    )
    assert list(private_names(file)) == [
        "from ray._private import worker",
        "import optuna._hypervolume",
        "self._z",
        "other._y",
    ]


def test_private_names_of_others_are_in_one_file() -> None:
    files = [file for package in ("embedding_core", "trainables", "sweeps") for file in (ROOT / package).rglob("*.py")]
    found = {str(file.relative_to(ROOT)): names for file in files if (names := list(private_names(file)))}
    assert list(found) == ["sweeps/engine/private_api.py"], found


def test_auto_is_where_ray_was_last_started_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(services, "find_gcs_addresses", set)  # a Ray that is up on this machine goes before
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("192.0.2.77:6379")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert address_of_auto() == "192.0.2.77:6379"
