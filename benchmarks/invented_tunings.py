"""Complete sweeps, invented: every cell is tuned on a surface that is known, then trained with fresh seeds.

Only numpy: thousands of replicates at once. What is graded are the project's own functions on what comes out.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

from sweeps.analysis.stats.intervals.effects import Effect, replicated_effect
from sweeps.analysis.stats.intervals.power import detectable

Array = NDArray[np.float64]

POINTS: Final = 8
"""Common Sobol points of a replicate."""

ADAPTIVE_TRIALS: Final = 16
"""Trials of the adaptive tuner, the common points included; early stopping makes them cost about 8 whole runs."""

DIMENSIONS: Final = 3
"""Learning rate, margin and KoLeo weight, each as its place in its range, 0..1."""

OPTIMA: Final = np.array([[0.45, 0.50, 0.60], [0.55, 0.40, 0.50], [0.60, 0.55, 0.45], [0.40, 0.60, 0.50]])
"""Best settings of the cells: off and on at K=1, off and on at K=4. All are equally good there."""

CURVATURE: Final = 0.08
"""What the far end of a range costs, in AUC: with eight points tuning falls short by some .01, SD .005."""

CLIFF: Final = 0.12
"""How far beyond the best rate training breaks down, at half the margin's range."""

DROP: Final = 0.4
"""What is lost there: an AUC of .9 becomes chance."""

FRAGILE_SD: Final = 0.03
"""How much the place of a fragile cliff differs between seeds: about 3 % of the confirmation's runs break down."""

VALIDATION_SD: Final = 0.006
"""Of a tuning run's validation value: its seed and its finite images."""

SEED_SD, SHARED_SD = 0.006, 0.005
"""Of a confirmation run's outcome: its own, and what all cells of a block share."""

SPLIT_SD: Final = 0.002
"""Of what a draw of training images does to one cell and not to the others."""

UNEQUAL: Final = np.array([1.0, 3.0, 1.0, 2.0])
"""Noise of the cells in multiples, where they differ."""

SLOW: Final = 0.04
"""How much of the final value the lowest rate lacks at the start: slow starters are stopped unfairly."""

RUNGS: Final = (0.25, 0.5)
"""Shares of the budget at which the adaptive tuner stops what is below the median of the earlier trials."""

FIRST_STOP: Final = 4
"""Trials that are stopped by nothing."""

STEP: Final = 0.15
"""SD of the adaptive tuner's step from the best trial so far."""

EFFECTS_OF: Final = {
    2: np.array([[-1.0, 1.0]]),
    4: np.array([[-0.5, 0.5, -0.5, 0.5], [0.0, -1.0, 0.0, 1.0], [-1.0, 0.0, 1.0, 0.0], [1.0, -1.0, -1.0, 1.0]]),
}
"""Weights of the primaries by number of cells: KoLeo; of four also accumulation with and without it, interaction."""

PATTERN: Final = {2: np.array([0.0, 1.0]), 4: np.array([0.0, 0.5, 0.0, 1.5])}
"""Cell means, in units of the effect, that make every primary the effect or zero: all of them at a boundary."""


@dataclass(frozen=True)
class World:
    """What is true, and how settings are found in it."""

    surface: str
    """`quadratic`; `cliff`: the same with a breakdown beyond a rate just above the best one; `fragile`: a cliff whose
    place depends on the seed, so that a setting that was tuned may break down in the confirmation."""

    noise: str
    """`equal` or `unequal` over the cells."""

    tuner: str
    """`sobol` or `adaptive`."""

    seed: int = 0
    truth_from: int = 100_000
    """Replicates that the true cell means are the mean of."""

    cells: int = field(default=4, init=False)

    @property
    def spread(self) -> Array:
        """Noise of each cell in multiples."""
        return np.ones(self.cells) if self.noise == "equal" else UNEQUAL

    @cached_property
    def truth(self) -> Array:
        """Expected outcome of each cell over tunings and seeds, [cells], from replicates that nothing else is made of.

        Standard error below .00005 (fragile: .0003). Noise of seeds and splits has mean 0, so it is left out.
        """
        level, room = self.tuned(self.truth_from, np.random.default_rng([self.seed, 1]))
        broken = ndtr(-room / FRAGILE_SD) if self.surface == "fragile" else room < 0
        return (level - DROP * broken).mean(axis=0)

    def sweeps(self, replicates: int, blocks: int, *, stream: int) -> Array:
        """Outcomes less the true cell means, [replicates, cells, blocks]: every replicate tuned and trained afresh."""
        rng = np.random.default_rng([self.seed, 2, stream])
        level, room = (found[..., None] for found in self.tuned(replicates, rng))
        runs = self._outcome(level, room.repeat(blocks, axis=2), rng) - self.truth[:, None]
        split = rng.normal(0, SPLIT_SD, level.shape)
        own = rng.normal(0, SEED_SD, runs.shape) * self.spread[:, None]
        return runs + split + own + rng.normal(0, SHARED_SD, (replicates, 1, blocks))

    def tuned(self, replicates: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Level and room of the settings that each replicate finds for each cell, both [replicates, cells]."""
        points = sobol_points(replicates, rng)
        if self.tuner == "adaptive":
            return self._adaptively(points, rng)
        level, room = self._surface(points[:, :, None, :].repeat(self.cells, axis=2))
        seen = self._outcome(level, room, rng) + self._validation_noise(level.shape, rng)
        best = seen.argmax(axis=1)[:, None]
        return np.take_along_axis(level, best, axis=1)[:, 0], np.take_along_axis(room, best, axis=1)[:, 0]

    def _surface(self, settings: Array) -> tuple[Array, Array]:
        """Outcome less the best one where training holds, and the room up to the cliff, of [..., cells, dimensions]."""
        away = settings - OPTIMA
        level = -CURVATURE * np.square(away).sum(axis=-1)
        if self.surface == "quadratic":
            return level, np.full_like(level, np.inf)
        return level, CLIFF + 0.2 * (settings[..., 1] - 0.5) - away[..., 0]

    def _outcome(self, level: Array, room: Array, rng: np.random.Generator) -> Array:
        """Of runs with seeds of their own, but for noise."""
        moved = rng.normal(0, FRAGILE_SD, room.shape) if self.surface == "fragile" else 0.0
        return level - DROP * (room < moved)

    def _validation_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.normal(0, VALIDATION_SD, shape) * self.spread

    def _adaptively(self, points: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """The common points, then steps from the best so far; every trial may be stopped at a rung."""
        shape = (points.shape[0], self.cells)
        best, best_seen = np.empty((*shape, DIMENSIONS)), np.full(shape, -np.inf)
        reached = {rung: np.full((*shape, ADAPTIVE_TRIALS), -np.inf) for rung in RUNGS}
        for trial in range(ADAPTIVE_TRIALS):
            if trial < POINTS:
                settings = points[:, trial, None, :].repeat(self.cells, axis=1)
            else:
                settings = np.clip(best + rng.normal(0, STEP, best.shape), 0, 1)
            value, runs = self._outcome(*self._surface(settings), rng), np.ones(shape, dtype=bool)
            for rung, earlier in reached.items():
                slow = SLOW * (1 - settings[..., 0]) * (1 - rung)
                partial = value - slow + 1.5 * self._validation_noise(shape, rng)
                known = np.isfinite(earlier).sum(axis=-1)
                above = (earlier > partial[..., None]).sum(axis=-1)
                earlier[..., trial] = np.where(runs, partial, -np.inf)
                runs &= (known < FIRST_STOP) | (2 * above <= known)
            seen = np.where(runs, value + self._validation_noise(shape, rng), -np.inf)
            better = seen > best_seen
            best[better], best_seen[better] = settings[better], seen[better]
        return self._surface(best)


def sobol_points(replicates: int, rng: np.random.Generator) -> Array:
    """`POINTS` Sobol points per replicate under a digital shift of its own, [replicates, points, dimensions].

    A shift by exclusive or keeps the points a net, and thousands of them are quickly drawn.
    """
    bits = 30
    net = qmc.Sobol(DIMENSIONS, scramble=False, bits=bits).random(POINTS)
    shifts = rng.integers(0, 2**bits, (replicates, 1, DIMENSIONS))
    return ((net * 2**bits).astype(np.int64)[None] ^ shifts) / 2**bits


@dataclass(frozen=True, slots=True)
class Words:
    """How often the words of a family of primaries came out wrong, and right."""

    wrong_if_more: float
    """Share of families with a wrong word, where an effect at the SESOI counts as just above it."""

    wrong_if_less: float
    """The same where it counts as just below."""

    half_width: float
    """Mean half-width of the printed intervals, simultaneous over the family."""

    power: float
    """Share of first primaries whose printed interval lies on the side of 0 that the truth is on."""

    @property
    def wrong(self) -> float:
        """From the side of the SESOI that is worse: no effect is on both."""
        return max(self.wrong_if_more, self.wrong_if_less)


def covered(sweeps: Array) -> float:
    """Share of plain 95 % intervals with the truth inside, over reruns and primaries.

    Args:
        sweeps: outcomes less the true cell means, [reruns, replicates, cells, blocks].
    """
    weights = EFFECTS_OF[sweeps.shape[2]]
    found = [replicated_effect(values, weights=of_cells) for values in sweeps for of_cells in weights]
    return float(np.mean([one.ci_low <= 0 <= one.ci_high for one in found]))


def judged(sweeps: Array, *, effect: float, sesoi: float) -> Words:
    """The words of every rerun.

    Args:
        sweeps: outcomes less the true cell means, [reruns, replicates, cells, blocks].
        effect: what is true, added by `PATTERN`.
        sesoi: what the words refer to.
    """
    cells = sweeps.shape[2]
    weights, means = EFFECTS_OF[cells], effect * PATTERN[cells]
    truths = (weights @ means).tolist()
    wrong = np.zeros((2, len(sweeps)), dtype=bool)
    powered, widths = [], []
    for i, values in enumerate(sweeps + means[:, None]):
        found = [replicated_effect(values, weights=of_cells, sesoi=sesoi, family=len(weights)) for of_cells in weights]
        for side, nudged in enumerate((1 + 1e-9, 1 - 1e-9)):
            wrong[side, i] = any(is_wrong(one, truth * nudged) for one, truth in zip(found, truths, strict=True))
        widths += [(one.ci_high - one.ci_low) / 2 for one in found]
        powered.append(min(truths[0] * found[0].ci_low, truths[0] * found[0].ci_high) > 0)
    more, less = wrong.mean(axis=1)
    return Words(float(more), float(less), float(np.mean(widths)), float(np.mean(powered)))


def is_wrong(effect: Effect, truth: float) -> bool:
    """Whether the sentence of this effect claims what is not true."""
    match effect.verdict:
        case "beyond":
            return effect.estimate * truth <= 0 or abs(truth) <= effect.sesoi
        case "unsettled":
            return effect.estimate * truth <= 0
        case "below_sesoi":
            return effect.estimate * truth <= 0 or abs(truth) >= effect.sesoi
        case "equivalent":
            return abs(truth) >= effect.sesoi
    return False


def power_when_detectable(sd: float, replicates: int, *, family: int, reruns: int, seed: int) -> float:
    """Share of reruns that call the effect which `detectable` says is called with power .8, where the SD is known."""
    effect = detectable(sd, replicates, family=family)
    control = np.random.default_rng(seed).normal(0, sd, (reruns, replicates))
    values = np.stack([control, np.full_like(control, effect)], axis=2)[..., None]
    found = [replicated_effect(one, weights=(-1, 1), family=family) for one in values]
    return float(np.mean([one.ci_low > 0 for one in found]))


def wrong_looks(quantiles: Array, *, first: int, reruns: int, seed: int) -> float:
    """Share of sweeps without an effect that are called at one look or another.

    Args:
        quantiles: standard errors from the mean to the end of the interval of n = 2, 3, ... replicates.
        first: replicates at the first look; one more at each of the others, as far as there are quantiles.
        reruns: sweeps.
        seed: of the draws.
    """
    draws = np.random.default_rng(seed).normal(size=(reruns, len(quantiles) + 1))
    n = np.arange(1, draws.shape[1] + 1)
    mean = draws.cumsum(axis=1) / n
    squares = np.maximum(np.square(draws).cumsum(axis=1) - n * mean**2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) / np.sqrt(squares / (n - 1) / n)
    return float((t[:, first - 1 :] > quantiles[first - 2 :]).any(axis=1).mean())
