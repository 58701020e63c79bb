"""An invented sweep with replicates: KoLeo off and on x K of 1 and 4, every cell of each replicate tuned anew."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.stats.reading.plan_reader import plan_of
from sweeps.analysis.stats.reading.stored_plan import StoredPlan
from sweeps.results.endings import FAILED_TRAINING
from tests.sweeps.analysis.invented.tables import Tables

Row = dict[str, Any]

OFF1, OFF4, ON1, ON4 = (f"koleo={koleo},accum_steps={k}" for koleo in ("off", "on") for k in (1, 4))
OFF = "koleo=off"
"""Stands for every K where accumulation does nothing without KoLeo."""

TRUTH = {OFF1: 0.90, OFF4: 0.90, ON1: 0.92, ON4: 0.91}
"""Test AUC by cell: KoLeo raises it, and K = 4 takes half of that back."""

RECALL_LESS = {"off": 0.20, "on": 0.23}
"""How far recall at 1 lies below AUC: KoLeo lowers it."""

EPOCHS = 5


@dataclass
class Replicated:
    """Tables of tune and confirm, and the plan they follow."""

    tables: Tables
    plan: Row

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
    def stored(self) -> StoredPlan:
        """The plan as the analysis reads it."""
        return plan_of(json.loads(json.dumps(self.plan)))

    def values(self, cell: str, column: str = "test_auc") -> np.ndarray:
        """Of the confirm runs of a cell, [replicates, blocks]."""
        size = (self.plan["replicates"], self.plan["blocks"])
        found = [[self.row(cell, r + 1, b + 1)[column] for b in range(size[1])] for r in range(size[0])]
        return np.array(found, dtype=np.float64)

    def row(self, cell: str, replicate: int, block: int = 1) -> Row:
        """A confirm run; it may be changed."""
        return self.tables.row(cell, block, replicate)

    def lose(self, cell: str, replicate: int, block: int = 1) -> None:
        """The run diverged before it could be measured."""
        lost = dict.fromkeys(("test_auc", "test_recall_at_1", "final_val_auc", "final_val_recall_at_1"))
        row = self.row(cell, replicate, block)
        row |= {**lost, "end_reason": FAILED_TRAINING[0], "last_epoch": 2}
        own = [r for r in self.tables.curve_rows if (r["stage"], r["trial_id"]) == ("confirm", row["trial_id"])]
        gone = [r for r in own if r["epoch"] > 2]
        self.tables.curve_rows = [r for r in self.tables.curve_rows if r not in gone]
        self.tables.group_rows = [r for r in self.tables.group_rows if r["trial_id"] != row["trial_id"]]

    def write(self, folder: Path) -> Path:
        """The same rows as a sweep on disk."""
        return self.tables.write(folder, plan=json.loads(json.dumps(self.plan)))


def factorial_sweep(
    truth: Mapping[str, float] = TRUTH,
    *,
    replicates: int = 8,
    blocks: int = 2,
    points: int = 6,
    tuner: str = "sobol",
    outcome: str = "auc",
    tuning_sd: float = 0.003,
    seed_sd: float = 0.003,
    seed: int = 0,
    classes: int = 10,
) -> Replicated:
    """R x (N points, then S seeds); without points nothing is tuned."""
    rng, tables = np.random.default_rng(seed), Tables()
    nuisance, tuned = [], []
    for replicate in range(1, replicates + 1):
        settled = {cell: {"lr": 5e-4, **({"koleo_weight": 0.1} if "on" in cell else {})} for cell in truth}
        if points:
            best = _tune(tables, truth, replicate, points, tuner, outcome, rng)
            settled = {cell: found["settings"] for cell, found in best.items()}
            tuned.append(best)
        nuisance.append(settled)
        shared = rng.normal(0, 0.01)
        luck = {cell: rng.normal(0, tuning_sd) for cell in truth}
        for block in range(1, blocks + 1):
            for cell, mean in truth.items():
                value = mean + shared + luck[cell] + rng.normal(0, seed_sd)
                config = _config(cell, replicate, block, settled[cell])
                _confirm(tables, cell, replicate, block, config, value, classes, outcome, bool(points), rng)
    plan = invented_plan(truth, replicates=replicates, blocks=blocks, points=points, tuner=tuner, outcome=outcome)
    return Replicated(tables, plan | {"nuisance": nuisance, "tuned": tuned or None})


def invented_plan(
    cells: Mapping[str, float], *, replicates: int, blocks: int, points: int, tuner: str, outcome: str = "auc"
) -> Row:
    """The plan of such a sweep in today's form, before anything is settled."""
    declared, other = (OUTCOMES[name] for name in ((outcome, "recall_at_1") if outcome == "auc" else (outcome, "auc")))
    return {
        "study_id": "koleo_accum",
        "question": "Does KoLeo help, does accumulation change that?",
        "replicates": replicates,
        "points": points,
        "blocks": blocks,
        "seed": 0,
        "confirm": "best of tune" if points else "drop-in",
        "tuner": tuner if points else "",
        "outcome": declared,
        "beside": [other],
        "cells": [{"cell_id": cell, "role": "factorial", "blocks": blocks, "settings_of": cell} for cell in cells],
        "contrasts": [
            one | {"outcome": declared["column"], "sesoi": declared["sesoi"]}
            | {"outcome_label": one["outcome_label"].format(declared["label"])}
            for one in contrasts_of(list(cells))
        ],
    }  # fmt: skip


def contrasts_of(cells: list[str]) -> list[Row]:
    """Primaries of all four cells, or of off, on at K = 1 and on at K = 4, with an exploratory one."""
    against = "accumulation (K=4 against 1)"
    with_koleo = {"code": "E2", "estimand": "accumulation with KoLeo", "weights": {ON1: -1.0, ON4: 1.0}}
    if OFF in cells and ON4 in cells:
        found = [
            {"code": "E1", "estimand": "koleo", "label": "KoLeo", "weights": {OFF: -1.0, ON1: 0.5, ON4: 0.5}},
            with_koleo | {"code": "E2, E3", "label": f"{against} with KoLeo", "note": "This is also the interaction."},
        ]
        exploratory = {"label": "KoLeo at K=1", "weights": {OFF: -1.0, ON1: 1.0}}
    elif OFF4 in cells:
        found = [
            {"code": "E1", "estimand": "koleo", "label": "KoLeo",
             "weights": {OFF1: -0.5, OFF4: -0.5, ON1: 0.5, ON4: 0.5}},
            with_koleo | {"label": f"{against} with KoLeo"},
            {"code": "E2", "estimand": "accumulation without KoLeo", "label": f"{against} without KoLeo",
             "weights": {OFF1: -1.0, OFF4: 1.0}},
            {"code": "E3", "estimand": "interaction", "label": against, "outcome_label": "KoLeo's effect on {}",
             "weights": {OFF1: 1.0, OFF4: -1.0, ON1: -1.0, ON4: 1.0}},
        ]  # fmt: skip
        exploratory = {"label": "KoLeo at K=1", "weights": {OFF1: -1.0, ON1: 1.0}}
    else:
        found = [{"code": "E1", "estimand": "koleo", "label": "KoLeo", "weights": {cells[0]: -1.0, cells[1]: 1.0}}]
        exploratory = {}
    if exploratory:
        found.append(exploratory | {"code": "E1", "estimand": "koleo at K=1", "family": "exploratory"})
    return [{"family": "primary", "outcome_label": "{}", "note": ""} | one for one in found]


OUTCOMES: dict[str, Row] = {
    "auc": {"name": "auc", "column": "test_auc", "label": "AUC", "sesoi": 0.003, "validation": "val_auc"},
    "recall_at_1": {
        "name": "recall_at_1",
        "column": "test_recall_at_1",
        "label": "recall@1",
        "sesoi": 0.01,
        "validation": "val_recall_at_1",
    },
}


def _config(cell: str, replicate: int, block: int, settings: Row) -> TrainConfig:
    levels = dict(part.split("=") for part in cell.split(","))
    on = levels["koleo"] == "on"
    split = (replicate - 1) * 1000
    return TrainConfig(
        koleo=on,
        accum_steps=int(levels.get("accum_steps", 1)),
        epochs=EPOCHS,
        eval_test=block < 500,
        seed=split + block,
        split_seed=split,
        **{"koleo_weight": 0.1 if on else None} | settings,
    )


def _shared(replicate: int, outcome: str) -> Row:
    return {
        "replicate": replicate,
        "master_seed": replicate - 1,
        "tuned_by": OUTCOMES[outcome]["validation"],
        "split_sha256": f"{replicate:064x}",
        "data_sha256": "d1" * 32,
    }


def _tune(
    tables: Tables, truth: Mapping[str, float], replicate: int, points: int, tuner: str, outcome: str,
    rng: np.random.Generator,
) -> dict[str, Row]:  # fmt: skip
    """Every cell at the same points; TPE's second half is the cell's own, and some of it is stopped."""
    common = [_point(rng) for _ in range(points)]
    best: dict[str, Row] = {}
    column = f"final_{OUTCOMES[outcome]['validation']}"
    for cell, mean in truth.items():
        for i in range(points):
            sampled = tuner == "optuna" and i >= points // 2
            given = _point(rng) if sampled else common[i]
            settings = {name: value for name, value in given.items() if name != "koleo_weight" or "on" in cell}
            stopped = sampled and i % 2 == 1
            value = mean - 0.02 * (np.log10(settings["lr"]) + 3) ** 2 + rng.normal(0, 0.003) - 0.03 * stopped
            recall = value - RECALL_LESS["on" if "on" in cell else "off"]
            row = tables.add(
                "tune",
                len(tables.trial_rows),
                cell,
                500 + i,
                _config(cell, replicate, 500 + i, settings),
                origin="sampled" if sampled else "designed",
                point=i,
                end_reason="asha_stopped" if stopped else "completed",
                final_val_auc=float(value),
                final_val_recall_at_1=float(recall),
                **_shared(replicate, outcome),
            )
            tables.add_curve("tune", row["trial_id"], _curve(value, 3 if stopped else EPOCHS), koleo="on" in cell)
            if not stopped and (cell not in best or row[column] > best[cell]["value"]):
                edges = {"lr": "high"} if settings["lr"] > 10**-2.3 else {}
                found = {"trial_id": row["trial_id"], "value": row[column], "settings": settings, "edges": edges}
                best[cell] = found
    return best


def _confirm(
    tables: Tables, cell: str, replicate: int, block: int, config: TrainConfig, value: float, classes: int,
    outcome: str, tuned: bool, rng: np.random.Generator,
) -> None:  # fmt: skip
    """The classes average to the test AUC exactly."""
    sizes = 10 * np.arange(1, classes + 1)
    pairs = sizes * (sizes - 1) / 2
    by_class = value + rng.normal(0, 0.002, classes)
    auc = float(by_class @ pairs / pairs.sum())
    less = RECALL_LESS["on" if config.koleo else "off"]
    row = tables.add(
        "confirm",
        len(tables.trial_rows),
        cell,
        block,
        config,
        origin="best of tune" if tuned else "drop-in",
        test_auc=auc,
        test_recall_at_1=auc - less,
        final_val_auc=auc - 0.004,
        final_val_recall_at_1=auc - less - 0.004,
        test_sha256="7e" * 32,
        **_shared(replicate, outcome),
    )
    start = len(tables.curve_rows)
    tables.add_curve("confirm", row["trial_id"], _curve(auc - 0.004, EPOCHS), koleo=config.koleo)
    for curve in tables.curve_rows[start:]:
        curve |= {"val_recall_at_1": curve["val_auc"] - less}
        if config.accum_steps > 1:
            curve |= {"nn_agreement": 0.25, "micro_full_grad_cos": 0.6 + 0.01 * block}
    ids = {"stage": "confirm", "trial_id": row["trial_id"], "attempt": 1, "split": "test", "is_finite": True}
    for i, part in enumerate(by_class.tolist()):
        named = {"metric": "auc", "class_id": i, "class_name": str(i), "value": part, "n": int(sizes[i])}
        tables.group_rows.append(ids | named)


def _point(rng: np.random.Generator) -> Row:
    return {
        "lr": float(10 ** rng.uniform(-4, -2)),
        "margin": float(rng.uniform(0.2, 0.6)),
        "koleo_weight": float(10 ** rng.uniform(-4, 0)),
    }


def _curve(final: float, epochs: int) -> list[float | None]:
    return [float(final - 0.1 * np.exp(-0.7 * epoch) + 0.1 * np.exp(-0.7 * epochs)) for epoch in range(1, epochs + 1)]
