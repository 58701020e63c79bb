"""What the engine's tests share: a design of three tiny trials, trees of hashes, and a local Ray per module."""

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import ray
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.train import train
from sweeps.cli.forecast import plan_lines
from sweeps.cli.forecast.rates import Evaluation, Rates, evaluation_kind
from sweeps.cli.forecast.workload import Workload, kind_of
from sweeps.design import Cell, Design, Estimand, Factor, Levels, Preset, Range
from sweeps.design.plan import Plan
from sweeps.engine.machines.cluster import DRIVER_ENVIRONMENT, TRIAL_ENVIRONMENT
from sweeps.engine.search.optuna_study import STUDY_NAME
from sweeps.results import store
from sweeps.results.rows import cast
from sweeps.results.schema import CURVES
from trainables.run_label import trial_name

TINY = Design(
    name="tiny",
    question="Does KoLeo help in three minutes?",
    factors=(
        Factor(name="koleo", role="scientific", domain=Levels((False, True))),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1e-1, log=True), when={"koleo": (True,)}),
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
    ),
    arms=(Cell(levels={"koleo": False}), Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1})),
    estimands=(
        Estimand(code="E1", name="koleo", factor="koleo", label="KoLeo", drop_in_label="KoLeo {koleo_weight}"),
        Estimand(
            code="E2", name="accumulation", factor="accum_steps", within={"koleo": True}, label="K={high} against {low}"
        ),
    ),
    controls=({"koleo": True, "accum_steps": 2, "accum_mode": "cached"},),
    fixed={"batch_size": 32, "subset": 96, "embedding_dim": 16, "lr": 1e-3, "views": "none"},
    presets={
        "quick": Preset(
            purpose="seconds",
            dataset="digits",
            samples=4,
            epochs=4,
            replicates=2,
            confirm="drop-in",
            next_command="--help",
        ),
        "tuned": Preset(purpose="tuned", dataset="digits", samples=4, epochs=2, blocks=2, confirm="best of search"),
        "designed": Preset(
            purpose="designed",
            dataset="digits",
            samples=2,
            points=4,
            epochs=4,
            replicates=2,
            blocks=2,
            confirm="best of tune",
            levels={"koleo": (False, True), "accum_steps": (1, 2)},
        ),
    },
)


@pytest.fixture
def tiny() -> Design:
    return TINY


@pytest.fixture(scope="module")
def tiny_design() -> Design:
    """The same for fixtures of a module."""
    return TINY


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, str]]:
    """`tree(folder)` -> hash of each file by its path, folders included: equal trees, nothing changed."""

    def hashes(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(folder.rglob("*"))
        }

    return hashes


TIMING = ("elapsed_s", "train_s")


@pytest.fixture(scope="session")
def loop_curve() -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """`loop_curve(row of trials)` -> its curve by the loop called directly, in this process, never interrupted.

    Cut after the trial's last epoch; without ids and timing columns.
    """

    def curve(trial: dict[str, Any]) -> list[dict[str, Any]]:
        config = TrainConfig.from_flat(json.loads(trial["config_json"]))
        threads = torch.get_num_threads()
        torch.set_num_threads(trial["cpu_threads"])
        try:
            rows = list(islice(train(config), trial["last_epoch"]))
        finally:
            torch.set_num_threads(threads)
        ids = {"trial_id": trial["trial_id"], "attempt": 1}
        known = [{k: v for k, v in row.items() if k in CURVES.names} | ids for row in rows]
        return untimed(cast("curves", known))

    return curve


def untimed(curves: pa.Table) -> list[dict[str, Any]]:
    """Rows without ids and timing columns."""
    left_out = {"trial_id", "attempt", "stage", *TIMING}
    return [{k: v for k, v in row.items() if k not in left_out} for row in curves.to_pylist()]


@pytest.fixture(scope="session")
def stored_curve() -> Callable[[Path, str, str], list[dict[str, Any]]]:
    """`stored_curve(folder, stage, trial_id)` -> the same of the store."""

    def curve(folder: Path, stage: str, trial_id: str) -> list[dict[str, Any]]:
        curves = store.read(folder, "curves", stage=stage)
        return untimed(curves.filter(pc.equal(curves["trial_id"], trial_id)))

    return curve


@pytest.fixture(scope="session")
def study_states() -> Callable[[Path], dict[str, str]]:
    """`study_states(folder)` -> name of each Optuna trial's state by our trial id, as another process reads it."""

    def states(folder: Path) -> dict[str, str]:
        study = optuna.load_study(study_name=STUDY_NAME, storage=f"sqlite:///{folder / 'optuna.db'}")
        return {trial_name(trial.number): trial.state.name for trial in study.get_trials()}

    return states


STATE_OF_ENDING = {
    "completed": "COMPLETE", "asha_stopped": "PRUNED", "collapsed": "PRUNED", "diverged": "PRUNED", "oom": "PRUNED",
    "error": "FAIL",
}  # fmt: skip


@pytest.fixture(scope="session")
def state_of_ending() -> dict[str, str]:
    return STATE_OF_ENDING


@pytest.fixture(scope="module")
def start_ray() -> Iterator[Callable[..., None]]:
    """`start_ray(num_cpus=2)` -> a local Ray as `cluster.connect` starts one, once; ends with the module."""
    terminated = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        for name, value in DRIVER_ENVIRONMENT.items():
            patch.setenv(name, value)

        def start(*, include_dashboard: bool = False, **resources: Any) -> None:
            if ray.is_initialized():
                return
            ray.init(
                address="local",
                include_dashboard=include_dashboard,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": TRIAL_ENVIRONMENT},
                **resources,
            )

        yield start
        ray.shutdown()
    signal.signal(signal.SIGTERM, terminated)


@pytest.fixture
def given_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 images a second, no probe."""

    def rates_of(plan: Plan, works: Workload, data: DeviceData, **how: Any) -> Rates:
        configs = [work.config for own in works.values() for work in own]
        views = dict.fromkeys({config.views for config in configs}, 0.5)
        nothing = Evaluation(setup_s=0.1, validation_s=0.1, checkpoint_s=0.01, held_out_s=views)
        return Rates(
            images_per_s={kind_of(plan, config): 1000.0 for config in configs},
            evaluations={evaluation_kind(config): nothing for config in configs},
            process_s=2.0,
            host_bytes=2**30,
            gpu_bytes=0,
        )

    monkeypatch.setattr(plan_lines, "rates_of", rates_of)
