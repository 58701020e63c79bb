"""Means of scalars that never make the host wait for the device."""

import torch
from torch import Tensor


class Meter:
    """Weighted means of scalars; those on the device stay there until `means`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._weights: dict[str, float] = {}

    def add(self, name: str, value: Tensor | float, weight: float) -> None:
        """Count the scalar `value` with `weight` > 0."""
        value = (value.detach() if isinstance(value, Tensor) else value) * weight
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._weights[name] = self._weights.get(name, 0.0) + weight

    def means(self) -> dict[str, float]:
        """Weighted mean per name; waits for the device once."""
        awaited = {name: total.float() for name, total in self._sums.items() if isinstance(total, Tensor)}
        read = dict(zip(awaited, torch.stack(list(awaited.values())).tolist(), strict=True)) if awaited else {}
        return {name: float(read.get(name, total)) / self._weights[name] for name, total in self._sums.items()}
