"""An invented sweep of all stages: two arms searched, three cells tuned and confirmed, two A/A controls."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedding_core.config.train_config import TrainConfig
from sweeps.results.schema import RUNGS
from sweeps.results.store import Store
from tests.sweeps.analysis.invented.tables import Tables, search_tables

Row = dict[str, Any]

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
OFF4, CACHED = "koleo=off,accum_steps=4", "koleo=on,accum_steps=4,accum_mode=cached"
CELLS = (OFF, ON1, ON4)
CONTROLS = (OFF4, CACHED)

EFFECT = {OFF: 0.0, ON1: -0.02, ON4: -0.01, OFF4: 0.0, CACHED: -0.02}
"""True effects on AUC."""

POINTS, BLOCKS, RUNG_IMAGES = 8, 7, (3000, 9000)


@dataclass
class Sweep:
    """Tables of every stage and the plan they follow."""

    tables: Tables
    rung_rows: list[Row] = field(default_factory=list)

    @property
    def rungs(self) -> pa.Table:
        return pa.Table.from_pylist(self.rung_rows, schema=RUNGS.append(pa.field("stage", pa.string())))

    def rows(self, stage: str, cell: str) -> list[Row]:
        """Trials of one cell; they may be changed."""
        return [row for row in self.tables.trial_rows if (row["stage"], row["cell_id"]) == (stage, cell)]

    def write(self, folder: Path) -> Path:
        """The same rows as a sweep on disk."""
        self.tables.write(folder, plan=PLAN)
        store = Store.open(folder)
        for row in self.rung_rows:
            store.write("rungs", "search", row["trial_id"], 1, [{k: v for k, v in row.items() if k != "stage"}])
        return folder


def staged_sweep() -> Sweep:
    """Search, tune and confirm."""
    made = Sweep(search_tables())
    add_rungs(made)
    add_tune(made)
    add_confirm(made)
    return made


def config_of(cell: str, **settings: Any) -> TrainConfig:
    on = cell.startswith("koleo=on")
    given = {"epochs": 5, "subset": 2000, "accum_steps": 4 if "accum_steps=4" in cell else 1, **settings}
    weight = given.pop("koleo_weight", 0.1)
    mode = "cached" if "cached" in cell else "naive"
    return TrainConfig(koleo=on, koleo_weight=weight if on else None, accum_mode=mode, **given)


def add_tune(sweep: Sweep) -> None:
    rng = np.random.default_rng(3)
    lrs, margins, weights = (
        10 ** rng.uniform(-4, -2, POINTS),
        rng.uniform(0.2, 0.6, POINTS),
        10 ** rng.uniform(-4, -1, 8),
    )
    for point in range(POINTS):
        base = 0.92 - 0.05 * (np.log10(lrs[point]) + 3) ** 2
        for i, cell in enumerate(CELLS):
            weight = float(weights[point])
            config = config_of(cell, lr=float(lrs[point]), margin=float(margins[point]), koleo_weight=weight)
            auc = float(base - 0.3 * (weight if i else 0) + rng.normal(0, 0.002))
            lost = point == 5 and cell == ON4
            row = sweep.tables.add(
                "tune",
                3 * point + i,
                cell,
                0,
                config,
                origin="designed",
                point=point,
                end_reason="diverged" if lost else "completed",
                final_val_auc=None if lost else auc,
            )
            values = [auc - 0.1 * 0.5**epoch for epoch in range(1, 6)]
            sweep.tables.add_curve("tune", row["trial_id"], values[:2] if lost else values, koleo=i > 0)


def add_confirm(sweep: Sweep) -> None:
    rng = np.random.default_rng(4)
    index = 0
    for block in range(1, BLOCKS + 1):
        base = 0.92 + rng.normal(0, 0.01)
        for cell in (*CELLS, *CONTROLS) if block <= 4 else CELLS:
            on, k4 = cell.startswith("koleo=on"), "accum_steps=4" in cell
            final = float(base + EFFECT[cell] + rng.normal(0, 0.002))
            values = [float(final - 0.1 * np.exp(-0.7 * e)) for e in range(1, 6)]
            row = sweep.tables.add(
                "confirm",
                index,
                cell,
                block,
                config_of(cell, seed=block, eval_test=True),
                origin="best of tune",
                test_auc=final,
                final_val_auc=values[-1],
                best_val_auc=max(values),
                wall_s=4.0 + 2 * k4 + block / 10,
                gpu_s=0.0,
            )
            start = len(sweep.tables.curve_rows)
            sweep.tables.add_curve("confirm", row["trial_id"], values, koleo=on)
            for curve in sweep.tables.curve_rows[start:]:
                curve |= {"nn_agreement": 0.25, "micro_full_grad_cos": 0.6 + 0.01 * block} if k4 and on else {}
                curve |= {"val_effective_rank": 20 + 8 * on - 3 * k4 + block / 4}
            index += 1


def add_rungs(sweep: Sweep) -> None:
    """Two rungs for the search that is there: the first after epoch 1, the second after epoch 3."""
    ends = {row["trial_id"]: row for row in sweep.tables.trial_rows if row["stage"] == "search"}
    curves = {(r["trial_id"], r["epoch"]): r["val_auc"] for r in sweep.tables.curve_rows if r["stage"] == "search"}
    for trial, row in ends.items():
        for rung, epoch in zip(RUNG_IMAGES, (1, 3), strict=True):
            if (trial, epoch) in curves:
                stop = row["end_reason"] == "asha_stopped" and (trial, epoch + 2) not in curves
                sweep.rung_rows.append(
                    {
                        "stage": "search",
                        "trial_id": trial,
                        "attempt": 1,
                        "rung": rung,
                        "value": curves[trial, epoch],
                        "decision": "stop" if stop else "continue",
                    }
                )
                if stop:
                    break


PLAN: Row = {
    "study_id": "koleo_accum",
    "question": "Does KoLeo help?",
    "confirm": "best of tune",
    "cells": [
        {"cell_id": cell, "origin": "best of tune", "role": role, "blocks": blocks, "settings_of": cell}
        for cells, role, blocks in ((CELLS, "factorial", BLOCKS), (CONTROLS, "control", 4))
        for cell in cells
    ],
    "nuisance": {
        OFF: {"lr": 0.00123, "margin": 0.41},
        ON1: {"lr": 0.0008, "margin": 0.35, "koleo_weight": 0.00021},
        ON4: {"lr": 0.0008, "margin": 0.35, "koleo_weight": 0.00021},
    },
    "tuned": {
        OFF: {"trial_id": "t00003", "final_val_auc": 0.921, "edges": {}},
        ON1: {"trial_id": "t00004", "final_val_auc": 0.918, "edges": {"koleo_weight": "low"}},
        ON4: {"trial_id": "t00005", "final_val_auc": 0.917, "edges": {}},
    },
    "contrasts": [
        {
            "code": "E1",
            "estimand": "koleo",
            "label": "KoLeo",
            "weights": {OFF: -1, ON1: 0.5, ON4: 0.5},
            "outcome": "test_auc",
            "sesoi": 0.003,
            "family": "primary",
        },
        {
            "code": "E2",
            "estimand": "accumulation",
            "label": "each doubling of accumulation steps, with KoLeo,",
            "weights": {ON1: -0.5, ON4: 0.5},
            "outcome": "test_auc",
            "sesoi": 0.003,
            "family": "primary",
        },
        {
            "code": "A/A",
            "estimand": "control",
            "label": "accumulation without KoLeo",
            "weights": {OFF: -1, OFF4: 1},
            "outcome": "test_auc",
            "sesoi": 0.003,
            "family": "control",
        },
    ],
}
