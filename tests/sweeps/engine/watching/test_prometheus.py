"""Values for Prometheus, and a Grafana dashboard that asks for exactly the series there are."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from sweeps.engine.watching.prometheus import ENDED, GAUGES, tags_of, values_of

DASHBOARD = Path(__file__).parents[4] / "dashboards" / "koleo_sweeps.json"
ROW = {"epoch": 4, "images_seen": 1200, "train_s": 0.5, "val_auc": 0.9, "peak_gpu_bytes": 1000}


def test_values_of_a_row() -> None:
    values = {"images_per_second": 600.0, "epoch": 4.0, "val_auc": 0.9, "gpu_peak_bytes": 1000.0}
    assert values_of(ROW) == {f"koleo_trial_{name}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("val_auc", {"val_auc": math.nan}),
        ("gpu_peak_bytes", {"peak_gpu_bytes": None}),
        ("images_per_second", {"train_s": 0.0}),
    ],
)
def test_what_is_not_known_has_no_series(name: str, given: dict[str, Any]) -> None:
    assert set(GAUGES) - set(values_of(ROW | given)) == {f"koleo_trial_{name}"}


@pytest.mark.parametrize("name", ["étude", "niños", "日本語", "cell=a|b", "\udcff"])
def test_tags_are_those_that_ray_takes(name: str) -> None:
    (tag,) = tags_of(sweep=name).values()
    assert tag.isascii()
    assert tag == name or "\\" in tag


def test_the_dashboard_asks_for_what_is_exported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    names = {name for expr in asked for name in re.findall(r"ray_\w+", expr)}
    assert names == {f"ray_{name}" for name in GAUGES} | {f"ray_{ENDED}_total"}


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([dashboard["panels"], dashboard["templating"]])))
    assert used == variables == {"datasource", "sweep"}
    assert dashboard["schemaVersion"] >= 36  # targets name their data source
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    squares = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(squares)) == len(squares)
    assert max(x for x, _ in squares) < 24
    for panel in panels:
        assert panel["title"]
        assert panel["type"] in ("stat", "bargauge", "timeseries")
        assert [target["refId"] for target in panel["targets"]] == ["A"]
