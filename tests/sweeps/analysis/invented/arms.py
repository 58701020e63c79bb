"""An invented sweep whose cells are named arms: losses of several kinds, held-out images, published figures beside."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from embedding_core.config.train_config import TrainConfig
from sweeps.results.schema import EVALUATIONS, VIEWS
from sweeps.results.store import Store
from tests.sweeps.analysis.invented.tables import Tables

Row = dict[str, Any]

CURRICULUM = (*["easy/semihard"] * 4, *["easy/hard"] * 4, *["hard/hard"] * 4)
EPOCHS, BLOCKS = 12, 3
BUDGETS = (30, 100, 1000, 3000)

MINED: Row = {"loss": "mined", "distance": "sql2", "margin": 0.5}
ARMS: dict[str, Row] = {
    "loss=mined,mining=curriculum,margin=.5": MINED | {"mining": "curriculum"},
    "loss=mined,mining=all/all,margin=.5": MINED | {"mining": "all/all"},
    "loss=arcface": {"loss": "arcface", "margin": 0.5},
    "loss=softmax": {"loss": "softmax"},
}
MANY: dict[str, Row] = ARMS | {
    f"loss=mined,mining={mining},margin={str(margin).lstrip('0')}": MINED | {"mining": mining, "margin": margin}
    for mining in ("easy/semihard", "easy/hard", "hard/semihard", "hard/hard")
    for margin in (0.3, 0.5)
    if (mining, margin) != ("hard/hard", 0.3)
}
"""Eleven arms, names as long as they get."""


@dataclass
class Sweep:
    """Tables of confirm and the plan they follow."""

    tables: Tables
    evaluation_rows: list[Row] = field(default_factory=list)
    view_rows: list[Row] = field(default_factory=list)
    plan: Row = field(default_factory=dict)

    @property
    def trials(self) -> pa.Table:
        return self.tables.trials

    @property
    def curves(self) -> pa.Table:
        return self.tables.curves

    @property
    def groups(self) -> pa.Table:
        return self.tables.groups

    @property
    def evaluations(self) -> pa.Table:
        return pa.Table.from_pylist(self.evaluation_rows, schema=EVALUATIONS.append(pa.field("stage", pa.string())))

    @property
    def views(self) -> pa.Table:
        return pa.Table.from_pylist(self.view_rows, schema=VIEWS.append(pa.field("stage", pa.string())))

    def values(self, cell: str, **wanted: Any) -> list[float]:
        """The evaluations of a cell's runs that have these columns, by block."""
        trials = [row["trial_id"] for row in self.tables.trial_rows if row["cell_id"] == cell]
        rows = [row for row in self.evaluation_rows if all(row.get(name) == value for name, value in wanted.items())]
        return [row["value"] for trial in trials for row in rows if row["trial_id"] == trial]

    def write(self, folder: Path) -> Path:
        self.tables.write(folder, plan=self.plan)
        store = Store.open(folder)
        for table, rows in (("evaluations", self.evaluation_rows), ("views", self.view_rows)):
            for trial in sorted({row["trial_id"] for row in rows}):
                own = [{k: v for k, v in row.items() if k != "stage"} for row in rows if row["trial_id"] == trial]
                store.write(table, "confirm", trial, 1, own)
        return folder


def arms_sweep(
    arms: Mapping[str, Row] = ARMS, *, blocks: int = BLOCKS, collapsed: Sequence[str] = (), **common: Any
) -> Sweep:
    """Arm i has a test recall of .8 + .01 i, less on unseen classes; `collapsed` arms lose at their margin."""
    rng, tables = np.random.default_rng(11), Tables()
    sweep = Sweep(tables)
    for block in range(1, blocks + 1):
        for i, (cell, fields) in enumerate(arms.items()):
            config = TrainConfig(**{"epochs": EPOCHS, "eval_test": True, "seed": block} | common | fields)
            lost, recall = cell in collapsed, 0.8 + 0.01 * i + float(rng.normal(0, 0.003))
            head = {"test_accuracy": recall + 0.1} if config.loss in ("arcface", "softmax") else {}
            row = tables.add(
                "confirm",
                len(tables.trial_rows),
                cell,
                block,
                config,
                origin="drop-in",
                study_id="arms",
                collapsed=lost,
                final_val_auc=recall,
                test_auc=recall + 0.05,
                test_recall_at_1=recall,
                test_map_at_r=recall - 0.2,
                test_knn_accuracy=recall + 0.01,
                test_fitted_svm_accuracy=recall + 0.05,
                test_fitted_knn_accuracy=recall + 0.04,
                unseen_recall_at_1=recall - 0.1,
                unseen_map_at_r=recall - 0.3,
                unseen_auc=recall - 0.05,
                **head,
            )
            ids = {"stage": "confirm", "trial_id": row["trial_id"], "attempt": 1, "is_finite": True}
            tables.curve_rows += [ids | point for point in _curve(config, lost, rng)]
            sweep.evaluation_rows += [ids | {"checkpoint": "final"} | e for e in _evaluations(recall, block, i, rng)]
            if head:
                tables.group_rows += [ids | part for part in _classes(recall)]
    return sweep


def _curve(config: TrainConfig, lost: bool, rng: np.random.Generator) -> list[Row]:
    start = {"arcface": 30.0, "softmax": 2.0, "nt_xent": math.log(2 * config.batch_size - 1)}.get(
        config.loss, config.margin
    )
    low = math.log1p((2 * config.batch_size - 2) * math.exp(-1 / config.temperature))
    bounds = {"loss_floor": low, "loss_chance": start} if config.loss == "nt_xent" else {}
    bounds |= {f"val_{name}": value for name, value in bounds.items()}
    end, rows = low if bounds else 0.1 * start, []
    for epoch in range(1, config.epochs + 1):
        loss = start if lost else end + (start - end) * math.exp(-0.2 * epoch) * (1 + float(rng.normal(0, 0.03)))
        miner = CURRICULUM[(epoch - 1) % len(CURRICULUM)] if config.mining == "curriculum" else config.mining
        row = {
            "epoch": epoch,
            "loss_base": loss,
            "val_loss": loss * (1 if lost else 1.1),
            "val_auc": 0.8 + 0.01 * epoch,
        }
        row |= {"miner": miner if config.loss == "mined" else None, "val_recall_at_1": 0.7 + 0.01 * epoch, **bounds}
        rows.append(row | {"val_sim_mean": 0.9 * math.exp(-epoch / 4) + 0.1, "val_sim_var": 0.04 * (1 - 0.9**epoch)})
    return rows


def _evaluations(recall: float, block: int, place: int, rng: np.random.Generator) -> list[Row]:
    rows: list[Row] = []
    for split, less in (("test", 0.0), ("unseen", 0.1)):
        for kind, more in (("svc", -0.05), ("linear", 0.0), ("knn", -0.02)):
            for step, budget in enumerate(BUDGETS):
                value = recall - 0.4 + 0.1 * step + more - less + float(rng.normal(0, 0.01))
                rows.append({"split": split, "metric": f"probe_{kind}", "k": budget, "value": value})
        rows.append({"split": split, "metric": "hit_rate", "k": 5, "value": recall - less})
        rows.append(
            {"split": split, "metric": "hit_rate_grey", "k": 5, "value": recall - less - 0.03 * (1 + place % 3)}
        )
        if block == 1:
            rows.append({"split": split, "metric": "pixels_recall", "k": 1, "value": 0.5 - less})
            rows.append({"split": split, "metric": "pixels_map_at_r", "value": 0.2 - less})
            rows.append({"split": split, "metric": "pixels_knn_accuracy", "k": 20, "value": 0.4 - less})
    if block == 1:
        rows.append({"split": "test", "metric": "pixels_fitted_svm_accuracy", "value": 0.55})
        rows.append({"split": "test", "metric": "pixels_fitted_knn_accuracy", "k": 10, "value": 0.6})
    return rows


def _classes(recall: float) -> list[Row]:
    of = {"split": "test", "metric": "accuracy"}
    return [of | {"class_id": c, "class_name": f"class {c}", "value": recall + 0.01 * c, "n": 50 + c} for c in range(6)]


def add_views(sweep: Sweep, *, classes: int = 6, points: int = 150) -> None:
    """Everything that the views table may hold, of every run of block 1."""
    rng, png = np.random.default_rng(5), _png()
    names = [f"plankter number {c}" for c in range(classes)]
    for trial in sweep.tables.trial_rows:
        if trial["block"] == 1:
            ids = {"stage": "confirm", "trial_id": trial["trial_id"], "attempt": 1, "is_finite": True, "seed": 1}
            for split in ("test", "unseen"):
                rows = [*_planes(rng, names, points, split), *_matrices(names), *_sheets(names, png)]
                sweep.view_rows += [ids | {"rank": 0, "split": split} | row for row in rows]
            rows = _planes(rng, names, points, "train")
            sweep.view_rows += [ids | {"rank": 0, "split": "train"} | row for row in rows]


def _planes(rng: np.random.Generator, names: list[str], points: int, split: str) -> list[Row]:
    rows: list[Row] = []
    for view in ("pca", "umap", "tsne"):
        for item in range(points):
            c = item % len(names)
            x, y = (3 * math.cos(c) + rng.normal(0, 0.4), 3 * math.sin(c) + rng.normal(0, 0.4))
            of = {"class_id": c, "class_name": names[c], "x": float(x), "y": float(y), "n": points}
            rows.append({"view": view, "item": item, **of})
    if split != "train":
        rows += [{"view": "pca_axis", "item": axis, "value": 0.3 - 0.1 * axis} for axis in range(2)]
        rows += [{"view": "spectrum", "item": i, "value": 1 / (i + 1), "n": points} for i in range(16)]
        shape = {"width": 2.0, "height": 1.0, "angle": 30.0, "value": 1.57, "n": 20}
        rows += [
            {
                "view": "ellipse",
                "item": c,
                "class_id": c,
                "class_name": name,
                "x": 3 * math.cos(c),
                "y": 3 * math.sin(c),
            }
            | shape
            for c, name in enumerate(names)
        ]
    return rows


def _matrices(names: list[str]) -> list[Row]:
    scales = {"class_distance": 1.0, "class_distance_l2": 1.4, "class_distance_angular": 1.5}
    return [
        {"view": view, "item": a, "rank": b, "class_id": a, "class_name": one, "other_class_id": b,
         "other_class_name": other, "value": scale * (0.2 if a == b else 0.9)}
        for view, scale in scales.items()
        for a, one in enumerate(names)
        for b, other in enumerate(names)
    ]  # fmt: skip


def _sheets(names: list[str], png: bytes) -> list[Row]:
    rows: list[Row] = []
    for c, name in enumerate(names):
        for view in ("closest", "farthest", "foreign"):
            other = (c + 1) % len(names) if view == "foreign" else c
            rows += [
                {"view": view, "item": c, "rank": rank, "class_id": c, "class_name": name, "value": 0.9,
                 "other_class_id": other, "other_class_name": names[other], "thumbnail": png}
                for rank in range(3)
            ]  # fmt: skip
    for view, wrong in (("neighbours", 1), ("neighbours_grey", 3)):
        for item in range(4):
            for rank in range(6):
                other = item % len(names) if rank <= 5 - wrong else (item + 1) % len(names)
                value = None if rank == 0 else 0.95 - 0.05 * rank
                rows.append(
                    {"view": view, "item": item, "rank": rank, "class_id": item % len(names), "value": value,
                     "class_name": names[item % len(names)], "other_class_id": other,
                     "other_class_name": names[other], "thumbnail": png}
                )  # fmt: skip
    return rows


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(buffer, format="PNG")
    return buffer.getvalue()
