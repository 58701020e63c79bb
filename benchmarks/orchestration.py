"""What one more trial costs beyond its training: wall time per extra no-op trial, stock Ray Tune beside this engine.

    python benchmarks/orchestration.py [--rounds 5] [--stock-function]

Each figure is (time of a sweep of MANY trials - time of one of FEW) / (MANY - FEW): start-up cancels. All variants run
in turn in one process and one local Ray, on as many CPUs as the machine has; the median over rounds is printed.
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import torch
from machine import machine_class
from ray import tune
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.storage import result_tables
from sweeps.design import plan_file
from sweeps.design.plan import Plan
from sweeps.engine.machines.cluster import DRIVER_ENVIRONMENT
from sweeps.engine.machines.resources import Slots
from sweeps.engine.runner import run_stage
from sweeps.engine.sweep import Sweep
from sweeps.koleo_accum import DESIGN
from sweeps.results.store import Store
from trainables.run_files import RunFiles
from trainables.run_label import from_flat

FEW, MANY = 8, 40
STOCK_FEW, STOCK_MANY = 2, 6
EPOCHS = 5
DATA = DeviceData.load(TrainConfig(), torch.device("cpu"))
IMAGES_PER_EPOCH = images_per_epoch(TrainConfig(), DATA.split(TrainConfig()))
TARGETS = {"plan and store": 0.10, "study, ASHA and store": 0.25}
"""Seconds per extra trial."""


def rows(images: int, epochs: int) -> Iterator[dict[str, Any]]:
    """A trial's reports, without any training."""
    for epoch in range(1, epochs + 1):
        yield {
            "epoch": epoch,
            "update": epoch,
            "images_seen": images * epoch,
            "elapsed_s": 0.0,
            "val_auc": 0.5 + 0.01 * epoch,
            "val_triplet_auc_se": 0.01,
            "val_triplet_pairs": 2,
            "is_finite": True,
            "end_reason": "completed" if epoch == epochs else None,
            "done": epoch == epochs,
        }


class NoOp(tune.Trainable):
    """A report per epoch."""

    def setup(self, config: dict[str, Any]) -> None:
        """Nothing to load."""
        self._rows: Iterator[dict[str, Any]] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial in the same process."""
        self._rows = None
        return True

    def step(self) -> dict[str, Any]:
        """The next report."""
        if self._rows is None:
            self._rows = rows(IMAGES_PER_EPOCH, self.config.get("epochs", EPOCHS))
        row = next(self._rows)
        if row["done"] and self.config.get("eval_test"):
            self._hand_over()
        return row

    def _hand_over(self) -> None:
        """What a confirmed run leaves for the driver, without a row in it."""
        files = RunFiles(from_flat(self.config)[1], Path(self.logdir))
        result_tables.write(result_tables.beside(files.save_to), {})
        files.keep()


def no_op_function(config: dict[str, Any]) -> None:
    """The stock way: a function, its own process per trial; it imports torch as any training would."""
    import torch as _torch

    assert _torch
    for row in rows(IMAGES_PER_EPOCH, EPOCHS):
        tune.report(row)


def stock(trainable: Any, trials: int, folder: Path) -> None:
    """Tune alone: no searcher, no scheduler, no store."""
    checkpoints = tune.CheckpointConfig(checkpoint_at_end=False) if trainable is NoOp else tune.CheckpointConfig()
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=trainable is NoOp),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0, checkpoint_config=checkpoints),
    ).fit()


def ours(
    stage: str,
    trials: int,
    folder: Path,
    *,
    epochs: int = EPOCHS,
    trainable: type[tune.Trainable] = NoOp,
    writer: type[Store] = Store,
) -> None:
    """The engine as a sweep runs it, but for the training; the sweep is written to `folder`/sweep."""
    cells = len(Plan.of(DESIGN, {}).cells)
    what = {"samples": trials, "replicates": trials // cells, "epochs": epochs}
    plan = Plan.of(DESIGN, what)
    store = writer.create(folder / "sweep")
    plan_file.write(folder / "sweep" / "plan.json", plan_file.content_of(plan, "sweep"))
    slots = Slots(1, 0)
    quiet = Console(file=sys.stderr, quiet=True)
    sweep = Sweep(plan, folder / "sweep", store, DATA, slots, quiet, trainable)
    _, finished = run_stage(sweep, stage)
    assert finished


def seconds(run: Callable[[int, Path], None], trials: int) -> float:
    """Wall time of a sweep of `trials`."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run(trials, Path(folder))
        return time.perf_counter() - started


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stock-function", action="store_true", help="time the stock function trainable too (slow)")
    arguments = parser.parse_args()
    variants: dict[str, tuple[Callable[[int, Path], None], int, int]] = {
        "bare Tune, class with reuse": (lambda n, folder: stock(NoOp, n, folder), FEW, MANY),
        "plan and store": (lambda n, folder: ours("confirm", n, folder), FEW, MANY),
        "study, ASHA and store": (lambda n, folder: ours("search", n, folder), FEW, MANY),
    }
    if arguments.stock_function:
        variants["bare Tune, function"] = (lambda n, folder: stock(no_op_function, n, folder), STOCK_FEW, STOCK_MANY)
    marginal: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(arguments.rounds):
        for name, (run, few, many) in variants.items():
            marginal[name].append((seconds(run, many) - seconds(run, few)) / (many - few))
    print(f"{machine_class()}; wall seconds per extra no-op trial of {EPOCHS} reports, {arguments.rounds} rounds")
    print(f"{'':30} {'median':>8} {'min':>8} {'max':>8}  target")
    for name, values in marginal.items():
        target = f"<= {TARGETS[name]:.2f}" if name in TARGETS else ""
        print(f"{name:30} {statistics.median(values):8.3f} {min(values):8.3f} {max(values):8.3f}  {target}")
    return 0


if __name__ == "__main__":
    os.environ.update(DRIVER_ENVIRONMENT)
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    sys.exit(main())
