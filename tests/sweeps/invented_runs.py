"""Sweeps on disk whose runs were planned as always and then invented instead of trained."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeps.design import Design, plan_file
from sweeps.design.plan import Plan
from sweeps.design.runs import Run, confirm_runs, tune_runs
from sweeps.results.schema import KEYS
from sweeps.results.store import Store, read
from trainables.run_label import trial_name

Row = dict[str, Any]


def swept(design: Design, folder: Path, *, leave_out: int = 0, **what: Any) -> Path:
    """A sweep run to its end, but for its last runs; every value follows from seed and cell.

    Args:
        design: of the sweep; tuned by `sobol`, or not.
        folder: to make.
        leave_out: runs of the confirmation that have not ended.
        what: options.
    """
    plan, store = Plan.of(design, what), Store.create(folder)
    plan_file.write(folder / plan_file.NAME, plan_file.content_of(plan, folder.name))
    go_on(plan, store, leave_out=leave_out)
    return folder


def go_on(plan: Plan, store: Store, *, leave_out: int = 0) -> None:
    """Write what the plan has and the store has not."""
    for stage in plan.stages:
        runs, columns = _runs(plan, store, stage)
        kept = len(runs) - (leave_out if stage == "confirm" else 0)
        there = {row.name.partition("-")[0] for row in (store.results_dir / "v1").glob(f"trials/stage={stage}/*")}
        for number, run in enumerate(runs[:kept]):
            if trial_name(number) not in there:
                _write(plan, store, stage, trial_name(number), run, columns)


def _runs(plan: Plan, store: Store, stage: str) -> tuple[list[Run], Row]:
    if stage == "search":
        arm, config = plan.design.arms[0], {**plan.search_base, **plan.design.arms[0].settings}
        run = Run(fixed=config, nuisance={}, cell_id=arm.cell_id, replicate=1, block=0, origin="sampled")
        return [run] * plan.samples, {}
    if stage == "tune":
        return tune_runs(plan), {}
    nuisance, sha256 = plan_file.settle(plan, store.results_dir)
    return confirm_runs(plan, nuisance), {"plan_sha256": sha256}


def _write(plan: Plan, store: Store, stage: str, trial_id: str, run: Run, columns: Row) -> None:
    config = run.config()
    value = config.seed * 37 % 101 / 200 + len(run.cell_id) / 1000 + (run.nuisance or {}).get("lr", 0.0)
    for table, rows in _parts(stage, value).items():
        store.write(table, stage, trial_id, 1, rows)
    final = {
        **config.to_flat(),
        **columns,
        "study_id": store.results_dir.name,
        "ray_trial_id": f"{store.results_dir.name}_{trial_id}",
        "cell_id": run.cell_id,
        "replicate": run.replicate,
        "master_seed": plan.seed + run.replicate - 1,
        "block": run.block,
        "origin": run.origin,
        "point": run.point,
        "config_json": config.to_json(),
        "config_sha256": config.sha256,
        "end_reason": "completed",
        "last_epoch": config.epochs,
        "final_val_auc": value,
        "test_auc": value if stage == "confirm" else None,
        "data_sha256": f"images of {config.dataset}",
        "test_sha256": f"test images of {config.dataset}" if stage == "confirm" else None,
        "split_sha256": f"split {config.split_seed}",
        "cpu_threads": 1,
        "gpu_share": 0.0,
        "wall_s": 1.0,
        "hostname": "h",
        "started_at": datetime.now(UTC),
        "ended_at": datetime.now(UTC),
        "argv": store.results_dir.name,
    }
    store.write("trials", stage, trial_id, 1, [final])


def _parts(stage: str, value: float) -> dict[str, list[Row]]:
    """Rows of the other tables."""
    tables: dict[str, list[Row]] = {
        "curves": [{"epoch": epoch, "val_auc": value, "elapsed_s": 1.0} for epoch in (1, 2)],
        "evaluations": [{"checkpoint": "final", "split": "val", "metric": "auc", "value": value}],
    }
    if stage != "confirm":
        return tables | {"rungs": [{"rung": 96, "value": value, "decision": "continue"}]}
    group = {"split": "test", "metric": "auc", "class_id": 3, "value": value, "n": 2}
    view = {"split": "test", "view": "pca", "item": 0, "rank": 0, "x": value, "y": 1.0}
    embedding = {"split": "test", "image_index": 0, "label": 3, "embedding": [value, 1.0]}
    return tables | {"eval_groups": [group], "views": [view], "embeddings": [embedding]}


MADE_ANEW = (
    "ray_trial_id", "study_id", "plan_sha256", "node_id", "argv", "started_at", "ended_at", "wall_s", "gpu_s",
    "elapsed_s", "train_s",
)  # fmt: skip
"""Ids, command line and times: what two runs of the same have in common only by chance."""


def unlike(first: Path, second: Path) -> list[str]:
    """Columns of any table that differ, `MADE_ANEW` aside; and tables without a row, of which this says nothing."""
    found = []
    for table in KEYS:
        one, other = (read(folder, table, attempts="all") for folder in (first, second))
        names = [name for name in one.schema.names if name not in MADE_ANEW]
        found += [f"{table}.{name}" for name in names if not one[name].equals(other[name])]
        found += [] if one.num_rows else [table]
    return found
