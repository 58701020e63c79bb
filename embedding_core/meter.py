"""Means of scalars that never make the host wait for the device."""

import torch
from torch import Tensor


class Meter:
    """Weighted means of scalars that stay on the device until `means`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._known: dict[str, float] = {}
        self._weights: dict[str, float] = {}

    def add(self, name: str, value: Tensor | float, weight: float) -> None:
        """Count the scalar `value` with `weight` > 0; a name has tensors or numbers that the host knows, not both."""
        if isinstance(value, float):
            self._known[name] = self._known.get(name, 0.0) + value * weight
            self._weights[name] = self._weights.get(name, 0.0) + weight
            return
        value = value.detach() * weight
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._weights[name] = self._weights.get(name, 0.0) + weight

    def means(self) -> dict[str, float]:
        """Weighted mean per name; waits for the device once."""
        waited_for = torch.stack([total.float() for total in self._sums.values()]).tolist() if self._sums else []
        totals = {**dict(zip(self._sums, waited_for, strict=True)), **self._known}
        return {name: total / self._weights[name] for name, total in totals.items()}
