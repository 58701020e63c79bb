"""What the analysis of a large sweep costs: reading the store and making every contrast.

    python benchmarks/analysis.py [--rounds 3] [--trials 1000]

A store of `--trials` trials, 50 epochs each: four in five are of the search, the rest confirm four cells (KoLeo x
accumulation) in complete blocks, with AUCs of ten classes. It is compacted, as a finished sweep is, and in memory where
there is /dev/shm: writing is not measured, and syncs each of 22,000 files. Reading is `store.read` of `trials`,
`curves` and `eval_groups`; contrasts are `findings` of E1, E2 and E3 with all they carry. Medians over rounds, in one
process; targets: 1,000 trials in <= 5 s, 10,000 in <= 12 x that.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine_class

from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.reading.stored_plan import Contrast, StoredPlan
from sweeps.results import store

TARGET_S, TARGET_GROWTH = 5.0, 12.0
EPOCHS = 50
CLASSES = 10
GROWTH = 10
MEMORY = Path("/dev/shm")
CELLS = [(on, steps) for on in (False, True) for steps in (1, 4)]


def cell_id(on: bool, steps: int) -> str:
    """Name of a cell."""
    return f"koleo={'on' if on else 'off'},accum_steps={steps}"


OFF1, OFF4, ON1, ON4 = (cell_id(*cell) for cell in CELLS)
CONTRASTS = (
    Contrast(weights={OFF1: -0.5, OFF4: -0.5, ON1: 0.5, ON4: 0.5}, label="KoLeo", code="E1"),
    Contrast(weights={ON1: -1.0, ON4: 1.0}, label="accumulation (K=4 against 1)", code="E2", estimand="accumulation"),
    Contrast(
        weights={OFF1: 1.0, OFF4: -1.0, ON1: -1.0, ON4: 1.0}, label="interaction", code="E3", estimand="interaction"
    ),
)


def main() -> None:
    """Print seconds of each part and the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=1000, help="of the smaller sweep (default: %(default)s)")
    arguments = parser.parse_args()
    print(f"{machine_class()}; n = {arguments.rounds} rounds")
    print(f"\n{'trials':>8}{'read s':>10}{'contrasts s':>14}{'whole s':>10}")
    whole = []
    for trials in (arguments.trials, GROWTH * arguments.trials):
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            sweep = written(Path(folder) / "sweep", trials)
            read, made = measured(sweep, arguments.rounds)
        whole.append(read + made)
        print(f"{trials:8,}{read:10.2f}{made:14.2f}{read + made:10.2f}", flush=True)
    print(f"target: {arguments.trials:,} trials <= {TARGET_S:g} s")
    print(f"growth: {whole[1] / whole[0]:.1f} x for {GROWTH} x the trials (target: <= {TARGET_GROWTH:g} x)")


def written(folder: Path, trials: int) -> Path:
    """A sweep on disk: search trials and complete blocks of confirm trials."""
    sweep, draw = store.Store.create(folder), np.random.default_rng(0)
    blocks = trials // 5 // len(CELLS)
    places = [("search", 0)] * (trials - blocks * len(CELLS))
    places += [("confirm", 1 + number // len(CELLS)) for number in range(blocks * len(CELLS))]
    for number, (stage, block) in enumerate(places):
        ids = (stage, f"t{number:05d}", 1)
        auc, *values = draw.normal(0.9, 0.01, 1 + EPOCHS).tolist()
        sweep.write("trials", *ids, [trial_row(block, *CELLS[number % len(CELLS)], auc)])
        sweep.write("curves", *ids, [{"epoch": 1 + i, "val_auc": value} for i, value in enumerate(values)])
        if stage == "confirm":
            group = {"split": "test", "metric": "auc", "n": 100}
            aucs = draw.normal(0.9, 0.01, CLASSES).tolist()
            groups = [{**group, "class_id": c, "class_name": str(c), "value": value} for c, value in enumerate(aucs)]
            sweep.write("eval_groups", *ids, groups)
    store.compact(folder)
    return folder


def trial_row(block: int, on: bool, steps: int, auc: float) -> dict[str, Any]:
    """One completed run."""
    config = TrainConfig(
        koleo=on, koleo_weight=0.1 if on else None, accum_steps=steps, seed=block, epochs=EPOCHS, eval_test=True
    )
    return {
        "study_id": "benchmark",
        "cell_id": cell_id(on, steps),
        "block": block,
        "origin": "drop-in",
        "config_json": config.to_json(),
        "config_sha256": config.sha256,
        "config_seen_sha256": config.sha256,
        "end_reason": "completed",
        "split_sha256": f"{block:064x}",
        "last_epoch": EPOCHS,
        "test_auc": auc,
        "final_val_auc": auc,
        **config.to_flat(),
    }


def measured(folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of reading and of the contrasts; one round beforehand is not counted."""
    reading, making = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        trials, curves, groups = (store.read(folder, name) for name in ("trials", "curves", "eval_groups"))
        halfway = time.perf_counter()
        found = findings(trials, curves, StoredPlan(contrasts=CONTRASTS), groups)
        assert all(finding.effect is not None for finding in found), [finding.sentence for finding in found]
        reading.append(halfway - started)
        making.append(time.perf_counter() - halfway)
    return statistics.median(reading[1:]), statistics.median(making[1:])


if __name__ == "__main__":
    main()
