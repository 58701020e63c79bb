"""Tables of an invented sweep whose truth is known, built straight from the schema."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedding_core.config.train_config import TrainConfig
from sweeps.results.schema import CURVES, EVAL_GROUPS, TRIALS
from sweeps.results.store import Store

Row = dict[str, Any]


@dataclass
class Tables:
    """Rows with `stage`, turned into tables on demand."""

    trial_rows: list[Row] = field(default_factory=list)
    curve_rows: list[Row] = field(default_factory=list)
    group_rows: list[Row] = field(default_factory=list)

    @property
    def trials(self) -> pa.Table:
        return pa.Table.from_pylist(self.trial_rows, schema=TRIALS.append(pa.field("stage", pa.string())))

    @property
    def curves(self) -> pa.Table:
        return pa.Table.from_pylist(self.curve_rows, schema=CURVES.append(pa.field("stage", pa.string())))

    @property
    def groups(self) -> pa.Table:
        return pa.Table.from_pylist(self.group_rows, schema=EVAL_GROUPS.append(pa.field("stage", pa.string())))

    def row(self, cell: str, block: int, replicate: int | None = None) -> Row:
        """A confirm run; of old tables, which have no replicates, without one."""
        key = ("confirm", cell, block, replicate)
        return next(r for r in self.trial_rows if (r["stage"], r["cell_id"], r["block"], r.get("replicate")) == key)

    def add(self, stage: str, index: int, cell: str, block: int, config: TrainConfig, **columns: Any) -> Row:
        row = {
            "stage": stage,
            "trial_id": f"t{index:05d}",
            "attempt": 1,
            "study_id": "koleo_accum",
            "cell_id": cell,
            "block": block,
            "config_json": config.to_json(),
            "config_sha256": config.sha256,
            "config_seen_sha256": config.sha256,
            "end_reason": "completed",
            "last_epoch": config.epochs,
            "wall_s": 4.0,
            "gpu_s": 1.0,
            "images_seen": 6000,
            "peak_gpu_bytes": 0,
            # Before replicates every seed drew its own images.
            "split_sha256": f"{config.seed:064x}",
            "git_sha": "c0ffee" * 6 + "abcd",
            "git_dirty": False,
            "versions": '{"python": "3.12.1", "torch": "2.14.1"}',
            "device_name": "cpu",
            "cpu_threads": 2,
            "argv": "sweeps/koleo_accum.py --preset quick",
            **config.to_flat(),
            **columns,
        }
        self.trial_rows.append(row)
        return row

    def add_curve(self, stage: str, trial_id: str, values: list[float | None], *, koleo: bool) -> None:
        for i, value in enumerate(values):
            self.curve_rows.append(
                {
                    "stage": stage,
                    "trial_id": trial_id,
                    "attempt": 1,
                    "epoch": i + 1,
                    "val_auc": value,
                    "val_effective_rank": 20.0 + 8 * koleo,
                    "val_uniformity": -2.5 - koleo,
                    "val_nn_distance": 0.2 + 0.1 * koleo,
                    "koleo_nn_same_class_frac": 0.71 if koleo else None,
                    "val_sim_mean": 0.1 - 0.05 * koleo,
                    "is_finite": value is not None,
                }
            )

    def write(self, folder: Path, *, plan: dict[str, Any] | None = None) -> Path:
        """The same rows as a sweep on disk."""
        store = Store.create(folder)
        tables = {"trials": self.trial_rows, "curves": self.curve_rows, "eval_groups": self.group_rows}
        for table, rows in tables.items():
            for stage, trial_id in sorted({(row["stage"], row["trial_id"]) for row in rows}):
                own = [row for row in rows if (row["stage"], row["trial_id"]) == (stage, trial_id)]
                store.write(table, stage, trial_id, 1, [{k: v for k, v in row.items() if k != "stage"} for row in own])
        if plan is not None:
            (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        return folder


def confirm_tables(
    *, effect: float = 0.02, blocks: int = 7, seed: int = 0, origin: str = "drop-in", tables: Tables | None = None
) -> Tables:
    """Off and on in `blocks` blocks; `effect` is the true difference in test AUC, its block SD is .004."""
    rng, tables = np.random.default_rng(seed), tables or Tables()
    for block in range(1, blocks + 1):
        base = 0.92 + rng.normal(0, 0.01)
        for on in (False, True):
            config = TrainConfig(
                koleo=on, koleo_weight=0.1 if on else None, seed=block, eval_test=True, epochs=5, subset=2000
            )
            final = base + on * (effect + rng.normal(0, 0.004))
            values = [float(final - 0.1 * np.exp(-0.7 * e) + rng.normal(0, 0.001)) for e in range(1, 6)]
            index = 2 * (block - 1) + on
            row = tables.add(
                "confirm",
                index,
                f"koleo={'on' if on else 'off'}",
                block,
                config,
                origin=origin,
                test_auc=float(final),
                final_val_auc=values[-1],
                best_val_auc=max(values),
            )
            tables.add_curve("confirm", row["trial_id"], values, koleo=on)
    return tables


def search_tables(*, n: int = 60, seed: int = 1, tables: Tables | None = None) -> Tables:
    """A search where lr decides, ASHA stops most trials, one diverges and one is unfinished."""
    rng, tables = np.random.default_rng(seed), tables or Tables()
    for i in range(n):
        on = bool(rng.random() < 0.35)
        lr = float(10 ** rng.uniform(-4, -2))
        config = TrainConfig(
            koleo=on,
            koleo_weight=float(10 ** rng.uniform(-4, -1)) if on else None,
            lr=lr,
            margin=float(rng.uniform(0.2, 0.6)),
            batch_size=int(rng.choice([64, 128])),
            accum_steps=int(rng.choice([1, 2, 4])),
            optimizer=str(rng.choice(["adam", "rmsprop"])),
            epochs=5,
        )
        final = 0.95 - 0.06 * (np.log10(lr) + 3.2) ** 2 + rng.normal(0, 0.005) - 0.002 * config.accum_steps
        last = 5 if final > 0.93 or i % 7 == 0 else int(rng.integers(1, 4))
        values: list[float | None] = [float(final - 0.12 * np.exp(-0.7 * e)) for e in range(1, last + 1)]
        reason = "completed" if last == 5 else "asha_stopped"
        if i == 4:
            values, reason = [values[0], None], "diverged"
        cell = f"koleo={'on' if on else 'off'}"
        finite = [v for v in values if v is not None]
        if i != n - 1:  # the last one was running when the driver died
            tables.add(
                "search",
                i,
                cell,
                0,
                config,
                origin="sampled",
                end_reason=reason,
                censored=reason == "asha_stopped",
                last_epoch=len(values),
                final_val_auc=values[-1],
                best_val_auc=max(finite),
            )
        tables.add_curve("search", f"t{i:05d}", values, koleo=on)
    return tables


PLAN: Row = {
    "study_id": "koleo_accum",
    "question": "Does KoLeo help?",
    "contrasts": [
        {
            "control": "koleo=off",
            "treatment": "koleo=on",
            "treatment_label": "KoLeo (weight .1)",
            "sesoi": 0.003,
            "outcome": "test_auc",
            "estimand": "koleo",
        }
    ],
}
