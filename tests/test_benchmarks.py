"""Benchmarks that print a table: `make gpu` on a machine without one, plans against their sweeps."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


def printed(*arguments: str, of: str = "gpu.py") -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / of), *arguments]
    # Compiling is tested in test_compiling.py, and would take a minute here.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=of == "gpu.py", env=environment).stdout


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_it_says_so() -> None:
    assert printed() == "Skipped: torch finds no CUDA device here.\n"


@pytest.mark.slow
def test_every_table_is_printed() -> None:
    out = printed("--device", "cpu", "--updates", "2", "--backbone", "small_cnn")
    packed = ["1 process", "2 processes"][: len(os.sched_getaffinity(0))]
    for row in ("eager", "compiled", *packed, "naive", "cached", "float32", "bf16"):
        assert f"\n{row} " in out
    assert "cached / naive: step time" in out
    apart = re.search(r"linear head on features .* losses at most (\S+) apart", out)
    assert apart is not None
    assert float(apart[1]) < 1e-5


@pytest.mark.slow
def test_a_plan_is_held_against_its_sweep() -> None:
    """How well it foretold is not tested: machines that run tests are not calm."""
    flags = "--stages confirm --replicates 2 --epochs 1 --train-triplets 128 --set views=none"
    *_, row = printed("--flags", flags, of="forecast.py").splitlines()
    assert row.startswith("own ")
    assert all(float(number) > 0 for number in re.findall(r"(\d+) s", row))
    assert len(re.findall(r"\d+ s", row)) == 3
