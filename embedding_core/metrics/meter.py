"""Means of scalars that never make the host wait for the device."""

import torch
from torch import Tensor


class Meter:
    """Weighted means of scalars; those on the device stay there until `means`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._weights: dict[str, Tensor | float] = {}

    def add(self, name: str, value: Tensor | float, weight: Tensor | float) -> None:
        """Count the scalar `value` with `weight` >= 0; a tensor where only the device knows whether it counts."""
        value = (value.detach() if isinstance(value, Tensor) else value) * weight
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._weights[name] = self._weights[name] + weight if name in self._weights else weight

    def means(self) -> dict[str, float]:
        """Weighted mean per name, those of weight 0 left out; waits for the device once."""
        totals = [*self._sums.values(), *self._weights.values()]
        awaited = [total.float() for total in totals if isinstance(total, Tensor)]
        read = iter(torch.stack(awaited).tolist() if awaited else ())
        known = [next(read) if isinstance(total, Tensor) else float(total) for total in totals]
        sums, weights = known[: len(self._sums)], known[len(self._sums) :]
        return {name: sums[i] / weights[i] for i, name in enumerate(self._sums) if weights[i]}
