"""Two arms with one value per block: checked, paired, and tested by flipping signs. Pure."""

from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

EXACT_BLOCKS: Final = 16
"""Up to here all 2^n sign flips are enumerated (.4 s at 16)."""

MONTE_CARLO_FLIPS: Final = 9999
"""Standard error of a p of .05: .003."""

MONTE_CARLO_SEED: Final = 0

FLIPPED_AT_ONCE: Final = 2**24
"""Numbers that are held at once while signs are flipped: 128 MiB, however many pairs there are."""

Arm: TypeAlias = ArrayLike | pa.Table
"""One outcome per block, or the `trials` rows of one cell, whose `test_auc` is taken in order of block."""


def paired_values(**arms: Arm) -> dict[str, NDArray[np.float64]]:
    """Arms as float arrays of one shape, or an error with the values."""
    tables = {name: _by_block(name, arm) for name, arm in arms.items() if isinstance(arm, pa.Table)}
    if len({tuple(table["block"].to_pylist()) for table in tables.values()}) > 1:
        blocks = {name: table["block"].to_pylist() for name, table in tables.items()}
        raise ValueError(f"Each arm must have the same blocks, but got {blocks}.")
    values = {name: tables[name]["test_auc"].to_numpy() if name in tables else arm for name, arm in arms.items()}
    arrays = {name: np.asarray(arm, dtype=np.float64) for name, arm in values.items()}
    lengths = {name: array.shape for name, array in arrays.items()}
    if any(array.ndim != 1 for array in arrays.values()) or len(set(lengths.values())) != 1:
        raise ValueError(f"Each arm must be one value per block and all of one length, but got shapes {lengths}.")
    for name, array in arrays.items():
        if array.size < 2:
            raise ValueError(f"An interval needs at least two blocks, but `{name}` has {array.tolist()}.")
        if not np.isfinite(array).all():
            raise ValueError(f"Every value must be finite, but `{name}` is {array.tolist()}.")
    return arrays


def _by_block(name: str, rows: pa.Table) -> pa.Table:
    """`trials` rows of one cell in order of block, each block once; adaptive rows are refused."""
    if "stage" not in rows.column_names or "search" in rows["stage"].to_pylist():
        raise ValueError(f"No effect is estimated from an adaptive sample, but `{name}` has rows of stage `search`.")
    cells, blocks = set(rows["cell_id"].to_pylist()), rows["block"].to_pylist()
    if len(cells) > 1 or len(set(blocks)) < len(blocks):
        raise ValueError(f"`{name}` must be one cell with each block once, but got {sorted(cells)}, blocks {blocks}.")
    return rows.sort_by("block")


def sign_flip_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the mean of paired differences, [blocks], by flipping their signs: all ways, or a seeded draw."""
    from scipy.stats import permutation_test  # takes half a second to load, and few reports need it

    exact = differences.size <= EXACT_BLOCKS
    test = permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        batch=min(10_000, max(1, FLIPPED_AT_ONCE // differences.size)),
        n_resamples=np.inf if exact else MONTE_CARLO_FLIPS,
        rng=np.random.default_rng(MONTE_CARLO_SEED),
    )
    return min(1.0, float(test.pvalue))
