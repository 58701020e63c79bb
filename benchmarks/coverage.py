"""Whether the printed intervals and words hold when the whole sweep is run again, on invented sweeps.

    python benchmarks/coverage.py [--reruns 1500]

Every cell of every replicate is tuned (eight Sobol points, or sixteen adaptive trials under early stopping) on a
surface that is known, and trained with fresh seeds; `replicated_effect` makes of it what a report prints. Truth is the
mean over tunings and seeds, from 100,000 replicates of its own. Two cells have one primary, four have a family of four.
Wrong words are counted over families, with every primary at 0 or at the effect in the column's head; at the SESOI
itself on the worse of its two sides. `quiet` has a tenth of the noise, so that "no difference that matters" is said at
all. Targets, but for `fragile`: .93 to .97 covered for four replicates or more, less than .85 for one; wrong words
<= .05; power as predicted. `fragile` shows what no interval over so few replicates can hold: where one run in thirty
breaks down to chance, most sweeps see too few of them. Two to three minutes of one core.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import product

import numpy as np
from invented_tunings import EFFECTS_OF, Array, World, covered, judged, power_when_detectable, wrong_looks
from machine import machine_class
from scipy import stats

from sweeps.analysis.stats.intervals.anytime import FIRST_LOOK, anytime_t
from sweeps.analysis.stats.intervals.power import detectable, half_width, power

REPLICATES = (4, 6, 8, 10)
BLOCKS = 2
BLOCKS_OF_ONE = (8, 24)
SESOI, LARGE = 0.003, 0.01
QUIET = 0.1
LOOKS = 20
NORMAL_RERUNS = 20_000


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reruns", type=int, default=1500, help="complete sweeps per line (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    n = arguments.reruns
    print(
        f"{machine_class()}; --reruns {n} --seed {arguments.seed}; SE of a share of .95: {(0.95 * 0.05 / n) ** 0.5:.4f}"
    )
    kinds = [*product(("quadratic", "cliff"), ("equal", "unequal")), ("fragile", "equal")]
    worlds = [World(*kind, tuner, seed=arguments.seed) for kind, tuner in product(kinds, ("sobol", "adaptive"))]
    print(f"\n{'':48}{'half-':>7}{'wrong words, effect at':>27}{'power at .01':>24}")
    print(f"{'surface    noise    tuner     C   R   S  covered':48}{'width':>7}", end="")
    print(f"{'0':>8}{'SESOI':>8}{'.01':>8}{'quiet':>8}{'seen':>8}{'predicted':>11}", flush=True)
    for world in worlds:
        for line in lines(world, n):
            print(line, flush=True)
    print_power(arguments.seed)
    print_looks(arguments.seed)
    print(f"\n{time.process_time():.0f} s of one core")


def lines(world: World, reruns: int) -> Iterator[str]:
    """One line per number of cells and replicates."""
    for cells in EFFECTS_OF:
        name = f"{world.surface:11}{world.noise:9}{world.tuner:9}{cells:>2}"
        for blocks in BLOCKS_OF_ONE:
            yield f"{name}{1:>4}{blocks:>4}  {covered(swept(world, cells, reruns, 1, blocks)):>7.3f}"
        for replicates in REPLICATES:
            sweeps = swept(world, cells, reruns, replicates, BLOCKS)
            loud = [judged(sweeps, effect=effect, sesoi=SESOI) for effect in (0.0, SESOI, LARGE)]
            quiet = judged(sweeps * QUIET, effect=SESOI, sesoi=SESOI)
            wrong = "".join(f"{one.wrong:>8.3f}" for one in (*loud, quiet))
            seen = f"{loud[2].power:>8.3f}{predicted(sweeps):>11.3f}"
            yield f"{name}{replicates:>4}{BLOCKS:>4}  {covered(sweeps):>7.3f}{loud[0].half_width:>8.4f}{wrong}{seen}"


def swept(world: World, cells: int, reruns: int, replicates: int, blocks: int) -> Array:
    """Reruns of a sweep, [reruns, replicates, cells, blocks]."""
    stream = 1000 * cells + 10 * replicates + blocks
    found = world.sweeps(reruns * replicates, blocks, stream=stream)[:, :cells]
    return found.reshape(reruns, replicates, cells, blocks)


def predicted(sweeps: Array) -> float:
    """Power of the first primary at `LARGE`, from its SD over all replicates."""
    _, replicates, cells, _ = sweeps.shape
    weights = EFFECTS_OF[cells]
    sd = float((sweeps.mean(axis=3) @ weights[0]).std())
    return power(LARGE, sd, replicates, family=len(weights))


def print_power(seed: int) -> None:
    """Half-widths and power where the SD is given."""
    print(f"\nSD .015 given, normal, n = {NORMAL_RERUNS}: half-width in SD, effect detected with power .8, power seen")
    for replicates, family in product((4, 6, 8, 10), (1, 4)):
        seen = power_when_detectable(0.015, replicates, family=family, reruns=NORMAL_RERUNS, seed=seed)
        width, effect = half_width(1.0, replicates, family=family), detectable(0.015, replicates, family=family)
        print(f"R {replicates:>2}, family of {family}: {width:6.3f} {effect:7.4f} {seen:6.3f}")


def print_looks(seed: int) -> None:
    """What looking after every replicate does to the error, and what the interval that allows for it costs."""
    print(f"\nLooking after every replicate up to {LOOKS}, no effect, normal, n = {NORMAL_RERUNS}: share called")
    numbers = np.arange(2, LOOKS + 1)
    for family in (1, 4):
        plain = stats.t.ppf(1 - 0.025 / family, numbers - 1)
        valid = np.array([anytime_t(int(n), 0.05 / family) for n in numbers])
        for first in (4, FIRST_LOOK):
            called = [wrong_looks(q, first=first, reruns=NORMAL_RERUNS, seed=seed) for q in (plain, valid)]
            print(f"{family} primaries, each, from {first} on: plain {called[0]:.3f}, anytime-valid {called[1]:.4f}")
        for n in (6, 8, 10, LOOKS):
            shift = detectable(1.0, n, family=family) * n**0.5
            kept = stats.nct.sf(valid[n - 2], n - 1, shift)
            wider = valid[n - 2] / plain[n - 2]
            print(f"{family} primaries, {n:>2} replicates: {wider:.2f} times as wide, power .8 becomes {kept:.2f}")


if __name__ == "__main__":
    main()
