"""The training loss of one configuration, and a meter of its terms that never waits for the device."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from embedding_core.config import TrainConfig
from embedding_core.losses import koleo_terms, triplet_hinge


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


@dataclass(frozen=True, slots=True)
class TripletObjective:
    """Triplet margin loss, plus weighted KoLeo over anchors, positives and negatives together (n = 3B)."""

    margin: float
    distance: str
    koleo_weight: float | None

    @classmethod
    def of(cls, config: TrainConfig) -> "TripletObjective":
        """The objective that `config` asks for."""
        return cls(config.margin, config.distance, config.koleo_weight if config.koleo else None)

    def __call__(self, z: Float[Tensor, "m 3 d"], labels: Int64[Tensor, "m 3"], meter: Meter) -> Float[Tensor, ""]:
        """Loss of one neighbourhood; its terms go to `meter`, weighted by triplets."""
        hinge = triplet_hinge(z[:, 0], z[:, 1], z[:, 2], margin=self.margin, distance=self.distance)
        loss = hinge.mean()
        weight = float(len(z))
        meter.add("loss_base", loss, weight)
        meter.add("active_triplet_frac", (hinge > 0).float().mean(), weight)
        if self.koleo_weight is not None:
            flat_labels = labels.flatten()
            spread = koleo_terms(z.flatten(0, 1))
            same_class = flat_labels[spread.neighbours[:, 0]] == flat_labels
            loss = loss + self.koleo_weight * spread.loss
            meter.add("loss_koleo", spread.loss, weight)
            meter.add("koleo_nn_same_class_frac", same_class.float().mean(), weight)
            meter.add("koleo_nn_dist_mean", spread.distances.mean(), weight)
        meter.add("loss_total", loss, weight)
        return loss
