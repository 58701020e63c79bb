"""What `sweeps.design` offers to a sweep script, and that it costs nothing to import."""

import json
import subprocess
import sys

import sweeps.design


def test_its_names() -> None:
    assert sweeps.design.__all__ == [
        "OF_PLUGINS",
        "Cell",
        "Design",
        "Estimand",
        "Factor",
        "Levels",
        "Outcome",
        "Preset",
        "Range",
    ]
    assert all(hasattr(sweeps.design, name) for name in sweeps.design.__all__)


def test_it_loads_neither_ray_nor_torch() -> None:
    code = "import json, sys, sweeps.design; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"ray", "torch", "optuna", "pandas", "numpy", "scipy", "pyarrow"}
    assert heavy.isdisjoint(json.loads(loaded))
