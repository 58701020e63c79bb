"""How near `--plan` comes to what a sweep takes: both run, one after the other, as people run them.

python benchmarks/forecast.py                    all cases once (about an hour on two cores)
python benchmarks/forecast.py --case quick --rounds 2
python benchmarks/forecast.py --flags "--preset minimal --replicates 4"

A calm machine is needed: what else runs while one of the two does counts for that one alone. Ray's processes give way
to others, and so do those of the plan's probe.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine_class

ROOT = Path(__file__).parents[1]
TARGET = 1.3

CASES = {
    "quick": "koleo_accum.py",
    "minimal, 3 x 4": "koleo_accum.py --preset minimal --loss semihard --replicates 3 --points 4 --epochs 8",
    "cached": "simclr.py --replicates 3 --epochs 8",
    "cifar10": "koleo_accum.py --preset minimal --dataset cifar10 --train-triplets 1500 --epochs 2 --replicates 2 "
    "--points 2",
}
"""Script and flags by name. SimCLR's cells accumulate naively and exactly beside one that does not."""


def ran(line: str, folder: str) -> tuple[str, float]:
    """What a command prints, and seconds that it takes."""
    script, *flags = line.split()
    command = [sys.executable, str(ROOT / "sweeps" / script), "--local", "--results", folder, *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout, took


def forecast_s(text: str) -> float:
    """Seconds that a plan says its sweep takes."""
    match = re.search(r"^time: +about ([\d.,]+) (s|min)", text, re.MULTILINE)
    if match is None:
        raise ValueError(f"No time in the plan:\n{text}")
    return float(match[1].replace(",", "")) * {"s": 1, "min": 60}[match[2]]


def main() -> int:
    """Print the table; 1 if a ratio is beyond the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="one of them, may be repeated; all")
    parser.add_argument("--flags", help="those of a plan of one's own, instead of the cases")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{machine_class()}; target: within {TARGET} either way")
    print(f"{'':16} {'--plan took':>12} {'forecast':>9} {'took':>8} {'took / forecast':>16} {'load before':>12}")
    cases = CASES if arguments.flags is None else {"own": f"koleo_accum.py {arguments.flags}"}
    missed = False
    for name in [*(arguments.case or cases)] * arguments.rounds:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            text, plan_s = ran(f"{cases[name]} --plan", folder)
            _, sweep_s = ran(cases[name], folder)
        ratio = sweep_s / forecast_s(text)
        missed |= not 1 / TARGET <= ratio <= TARGET
        row = f"{plan_s:>10.0f} s {forecast_s(text):>7.0f} s {sweep_s:>6.0f} s {ratio:>16.2f} {load:>12.1f}"
        print(f"{name:16} {row}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
