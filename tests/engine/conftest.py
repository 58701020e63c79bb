"""What the engine's tests share: a design of three tiny trials, trees of hashes, and a local Ray per module."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from sweeps.engine.cluster import DRIVER_ENVIRONMENT, TRIAL_ENVIRONMENT
from sweeps.engine.design import Cell, Contrast, Design, Factor, Levels, Preset, Range

TINY = Design(
    name="tiny",
    question="Does KoLeo help in three minutes?",
    factors=(
        Factor(name="koleo", role="scientific", domain=Levels((False, True))),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1e-1, log=True), when=("koleo", True)),
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
    ),
    cells=(Cell(levels={"koleo": False}), Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1})),
    contrasts=(Contrast(estimand="koleo", control="koleo=off", treatment="koleo=on", label="KoLeo {koleo_weight}"),),
    fixed={"batch_size": 32, "subset": 96, "embedding_dim": 16, "lr": 1e-3},
    presets={
        "quick": Preset(
            purpose="seconds", dataset="digits", samples=4, epochs=4, blocks=2, confirm="drop-in", next_command="--help"
        ),
        "tuned": Preset(purpose="tuned", dataset="digits", samples=4, epochs=2, blocks=2, confirm="best of search"),
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


@pytest.fixture(scope="module")
def start_ray() -> Iterator[Callable[..., None]]:
    """`start_ray(num_cpus=2, **more)` -> a local Ray as `cluster.connect` starts one; ends with the module."""
    terminated = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        for name, value in DRIVER_ENVIRONMENT.items():
            patch.setenv(name, value)

        def start(**resources: float) -> None:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": {**TRIAL_ENVIRONMENT, "KOLEO_TEST_DRIVER": str(os.getpid())}},
                **resources,
            )

        yield start
        ray.shutdown()
    signal.signal(signal.SIGTERM, terminated)
