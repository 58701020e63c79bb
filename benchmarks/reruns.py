"""Does an interval hold when the whole sweep is run again? Complete small sweeps on digits, with other master seeds.

    python benchmarks/reruns.py [--sweeps 20] [--results DIR]

Each sweep asks what KoLeo does to the AUC of semi-hard triplets (off and on, K = 1), and is run in two ways: one
tuning confirmed by 8 seeds, as it used to be, and 6 replicates confirmed by 2 seeds each. Both estimate what KoLeo does
once both cells are tuned with 8 settings. Of each way it prints the share of sweeps whose 95 % interval covers the mean
of the other sweeps' estimates, and the pairs of sweeps that contradict each other: one says raised where another says
lowered, or that there is no difference that matters. Of 20 sweeps 95 % are 19; the target for replicates is 17.

One tuning no longer gets a verdict. What `paired_effect` says of its 8 seeds is counted here to show why.

With `--results` the sweeps stay there, and those that are there already are gone on with.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import ray
from machine import machine_class
from rich.console import Console

from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.intervals.effects import Effect, paired_effect
from sweeps.analysis.stats.reading.plan_reader import read_plan
from sweeps.cli import session
from sweeps.cli.options import parse
from sweeps.cli.preflight import preflight
from sweeps.cli.sweep_folder import plan_of
from sweeps.design.plan_file import NAME
from sweeps.engine.interruption import Interruption
from sweeps.engine.machines.cluster import Where, connect
from sweeps.koleo_accum import DESIGN
from sweeps.results import store
from sweeps.results.sweep_log import SweepLog

SEED_STEP = 100
"""Further apart than replicates: no two sweeps share one."""

WAYS = {"one tuning, 8 seeds": (1, 8), "6 replicates x 2 seeds": (6, 2)}
"""Replicates and blocks."""

SWEEP = ("--preset", "minimal", "--loss", "semihard", "--train-triplets", "512", "--epochs", "4", "--set", "views=none")
TARGET = 0.85

TWO_CELLS = replace(
    DESIGN,
    presets={"minimal": replace(DESIGN.presets["minimal"], levels={"koleo": (False, True), "accum_steps": (1,)})},
)


def sweep(results: Path, seed: int, replicates: int, blocks: int) -> Path:
    """The folder of a sweep, run or gone on with."""
    name = f"seed{seed}-{replicates}x{blocks}"
    argv = [*SWEEP, "--results", str(results), "--name", name]
    size = ["--seed", str(seed), "--replicates", str(replicates), "--blocks", str(blocks)]
    there = (results / name / NAME).exists()
    options = parse(TWO_CELLS, [*argv[:2], *argv[-4:], "--resume"] if there else [*argv, *size])
    folder = results / name
    plan = plan_of(TWO_CELLS, options, folder)
    data, console = preflight(plan, options, folder), Console(file=io.StringIO())
    with Interruption() as interruption:
        complete = session.run(plan, data, options, folder, console, SweepLog(), interruption)
    if not complete:
        raise SystemExit(f"{folder} was interrupted; the same command goes on.")
    return folder


def answer(folder: Path) -> Effect:
    """What the sweep says of KoLeo: replicates by the functions of its report, the seeds of one tuning paired."""
    trials, curves = store.read(folder, "trials"), store.read(folder, "curves")
    plan = read_plan(folder, trials)
    if plan.replicates == 1:
        confirm, (asked, *_) = store.read(folder, "trials", stage="confirm"), plan.contrasts
        arms = (*asked.control_cells, *asked.treatment_cells)
        return paired_effect(*(confirm.filter(pc.equal(confirm["cell_id"], cell)) for cell in arms))
    effect = next(one.effect for one in findings(trials, curves, plan) if one.contrast.family == "primary")
    assert effect is not None, folder
    return effect


def covered(answers: Sequence[Effect]) -> list[bool]:
    """Whether each interval covers the mean of the other sweeps' estimates."""
    estimates = np.array([one.estimate for one in answers])
    others = (estimates.sum() - estimates) / (len(estimates) - 1)
    return [bool(one.ci_low <= mean <= one.ci_high) for one, mean in zip(answers, others, strict=True)]


def contradictions(answers: Sequence[Effect]) -> int:
    """Pairs of sweeps of which one denies what the other claims."""
    return sum(_contradict(one, other) for one, other in combinations(answers, 2))


def _contradict(one: Effect, other: Effect) -> bool:
    claims = {_claim(one), _claim(other)}
    return claims in ({"raised", "lowered"}, {"raised", "no difference"}, {"lowered", "no difference"})


def _claim(one: Effect) -> str:
    if one.verdict in ("beyond", "unsettled"):
        return "raised" if one.estimate > 0 else "lowered"
    return "no difference" if one.verdict in ("equivalent", "below_sesoi") else ""


def report(way: str, answers: Sequence[Effect]) -> None:
    """One line per sweep, then the shares."""
    inside = covered(answers)
    print(f"\n{way}")
    for number, (one, holds) in enumerate(zip(answers, inside, strict=True)):
        print(
            f"  seed {number * SEED_STEP:>4}: {one.estimate:+.4f} [{one.ci_low:+.4f}, {one.ci_high:+.4f}], says "
            f"{_claim(one) or 'nothing'}{'' if holds else '; misses the mean of the others'}"
        )
    widths = np.array([one.ci_high - one.ci_low for one in answers])
    n, pairs = len(answers), len(answers) * (len(answers) - 1) // 2
    spread = float(np.std([one.estimate for one in answers], ddof=1))
    print(f"  covers the mean of the others: {sum(inside)} of {n} ({sum(inside) / n:.2f})")
    print(f"  pairs that contradict each other: {contradictions(answers)} of {pairs}")
    print(f"  median half-width {np.median(widths) / 2:.4f}; SD of the estimates over sweeps {spread:.4f}")


def main() -> int:
    """Run the sweeps that are not there yet, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=20, metavar="N")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where the sweeps stay; nowhere")
    arguments = parser.parse_args()
    print(machine_class())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        results = (arguments.results or Path(scratch)).resolve()
        connect(Where(local=True, address=None))
        folders: dict[str, list[Path]] = {way: [] for way in WAYS}
        for number in range(arguments.sweeps):
            for way, size in WAYS.items():
                folders[way].append(sweep(results, SEED_STEP * number, *size))
            print(f"seed {SEED_STEP * number} after {(time.monotonic() - started) / 60:.1f} min", file=sys.stderr)
        ray.shutdown()
        answers = {way: [answer(folder) for folder in own] for way, own in folders.items()}
    for way, own in answers.items():
        report(way, own)
    print(f"\ntarget: {TARGET:.2f} for replicates; {(time.monotonic() - started) / 60:.0f} min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
