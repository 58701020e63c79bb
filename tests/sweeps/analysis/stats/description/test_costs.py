"""Costs by hand: device time, what early stopping saved, and node time that several trials share."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sweeps.analysis.stats.description import costs

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(**given: Any) -> dict[str, Any]:
    known = {"stage": "search", "cell_id": "koleo=off", "end_reason": "completed", "epochs": 10, "last_epoch": 10,
             "wall_s": 100.0, "gpu_s": 25.0, "gpu_share": 0.25, "cpu_threads": 2, "hostname": "h", "node_id": "n1",
             "node_type": "gpu_spot", "started_at": START, "ended_at": START + timedelta(hours=1)}  # fmt: skip
    assert set(known) == set(costs.COLUMNS)
    return known | given


def test_cpu_time_counts_threads_where_no_trial_has_a_gpu() -> None:
    on_gpu, on_cpu = row(), row(gpu_s=0.0, gpu_share=0.0)
    assert costs.unit_of([on_gpu, on_cpu]) == "GPU-seconds"
    assert costs.unit_of([on_cpu]) == "CPU-seconds"
    assert costs.device_seconds(on_gpu, "GPU-seconds") == 25.0
    assert costs.device_seconds(on_cpu, "CPU-seconds") == 200.0


def test_by_cell_takes_medians_and_sums_in_order_of_stages() -> None:
    rows = [row(stage="confirm", cell_id="a")] + [row(gpu_s=s) for s in (1.0, 10.0, 3.0)]
    assert costs.by_cell(rows) == [
        costs.CellCost("search", "koleo=off", 3, 3.0, 14.0),
        costs.CellCost("confirm", "a", 1, 25.0, 25.0),
    ]


def test_a_stopped_trial_saves_its_other_epochs_at_its_own_rate() -> None:
    stopped = row(end_reason="asha_stopped", last_epoch=2, gpu_s=6.0)
    rows = [row(gpu_s=26.0), stopped, row(end_reason="error", last_epoch=0, gpu_s=0.0), row(stage="confirm")]
    saving = costs.saving(rows)
    assert (saving.stopped, saving.saved_s) == (1, 24.0)
    assert saving.share == pytest.approx(24.0 / 56.0)
    assert costs.saving([row()]) == costs.Saving(0, 0.0, 0.0)


def test_a_node_costs_the_time_in_which_any_trial_was_on_it() -> None:
    def on(node: str, start_h: float, end_h: float, node_type: str | None = "gpu_spot") -> dict[str, Any]:
        at = {"started_at": START + timedelta(hours=start_h), "ended_at": START + timedelta(hours=end_h)}
        return row(node_id=node, node_type=node_type, **at)

    rows = [on("a", 1, 3), on("a", 0, 2), on("a", 1, 2), on("a", 5, 6), on("b", 0, 1), on("c", 0, 2, None)]
    spot, own = costs.by_node_type(rows, {"gpu_spot": 0.5})
    assert (spot.node_type, spot.nodes, spot.hours, spot.usd) == ("gpu_spot", 2, 5.0, 2.5)
    assert (own.node_type, own.nodes, own.hours, own.usd) == (costs.OWN, 1, 2.0, None)
