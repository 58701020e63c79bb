"""Means of scalars that never make the host wait for the device."""

import torch
from torch import Tensor


class Meter:
    """Weighted means of scalars that stay on the device until `means`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, float] = {}

    def add(self, name: str, value: Tensor, weight: float) -> None:
        """Count the scalar `value` with `weight` > 0."""
        value = value.detach() * weight
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._weights[name] = self._weights.get(name, 0.0) + weight

    def means(self) -> dict[str, float]:
        """Weighted mean per name; waits for the device once."""
        if not self._sums:
            return {}
        values = torch.stack([total.float() for total in self._sums.values()]).tolist()
        return {name: value / self._weights[name] for name, value in zip(self._sums, values, strict=True)}
