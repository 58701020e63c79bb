"""The base losses behind one signature, so that the loop, accumulation and the gap meter know only that one."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from embedding_core.losses import miners
from embedding_core.losses.classification import ArcFace, SoftmaxClassifier
from embedding_core.losses.functional import nt_xent, nt_xent_chance, nt_xent_floor, triplet_hinge, triplet_semihard
from embedding_core.losses.mined import mined_hinge
from embedding_core.metrics.meter import Meter
from embedding_core.plugins.builtin import LOSSES

PREDICTED_AT_ONCE = 1024
"""Rows whose logits are in memory together: those of all test images, of very many classes, would not fit."""

VALIDATION_MINING = "hard/hard"
"""Whatever was mined in training, so that validation losses compare (study 2)."""


class BaseLoss(nn.Module, ABC):
    """z [m, v, d], labels [m, v] -> scalar; terms of its own go to the meter, weighted by examples."""

    name: str
    """`TrainConfig.loss`."""

    @abstractmethod
    def forward(
        self, z: Float[Tensor, "m v d"], labels: Int64[Tensor, "m v"], meter: Meter, draws: Float64[Tensor, "r m*v"]
    ) -> Float[Tensor, ""]:
        """Mean over the examples of one neighbourhood; `draws` as made by `draws` for its images."""

    def draws(self, n: int, generator: torch.Generator) -> Float64[Tensor, "r n"]:
        """Random numbers that `forward` takes for n images, r for each: 0 unless a loss says otherwise."""
        return torch.empty(0, n, dtype=torch.float64, device=generator.device)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Told before each epoch (0-based); most losses do not change."""

    @abstractmethod
    def settings(self) -> dict[str, float | str]:
        """The `TrainConfig` fields that this loss can tell."""

    def bounds(self, neighbourhood: int) -> dict[str, float]:
        """What the loss is to be read against, where it says little by itself."""
        return {}

    def at_work(self) -> dict[str, str]:
        """What was at work in the epoch, where that may change in a run."""
        return {}


class _Hinged(BaseLoss):
    """A loss with a margin between two distances."""

    def __init__(self, margin: float, distance: str) -> None:
        super().__init__()
        self.margin = margin
        self.distance = distance

    def settings(self) -> dict[str, float | str]:
        """Margin and distance."""
        return {"loss": self.name, "margin": self.margin, "distance": self.distance}


@LOSSES.attach("triplet")
class FixedTriplets(_Hinged):
    """Triplet margin loss over (anchor, positive, negative) examples: v = 3."""

    name = "triplet"

    def forward(self, z: Tensor, labels: Tensor, meter: Meter, draws: Tensor) -> Tensor:
        """Mean hinge."""
        hinge = triplet_hinge(z[:, 0], z[:, 1], z[:, 2], margin=self.margin, distance=self.distance)
        meter.add("active_triplet_frac", (hinge > 0).float().mean(), float(len(z)))
        return hinge.mean()


@LOSSES.attach("mined")
class MinedTriplets(_Hinged):
    """Triplet margin loss over triplets mined among the images of a neighbourhood: v = 1."""

    name = "mined"

    def __init__(self, mining: str, margin: float, distance: str) -> None:
        super().__init__(margin, distance)
        self.mining = mining
        self.picked = "/".join(miners.curriculum(0, 1)) if mining == "curriculum" else mining
        """The miner at work; differs from `mining` under a curriculum."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Move a curriculum on."""
        if self.mining == "curriculum":
            self.picked = "/".join(miners.curriculum(epoch, epochs))

    def settings(self) -> dict[str, float | str]:
        """With the kind of mining asked for, not the one at work."""
        return {**super().settings(), "mining": self.mining}

    def at_work(self) -> dict[str, str]:
        """The miner."""
        return {"miner": self.picked}

    def draws(self, n: int, generator: torch.Generator) -> Tensor:
        """Two numbers per image where triplets are drawn at random."""
        return miners.random_draws(n, generator) if self.picked == "random" else super().draws(n, generator)

    def forward(self, z: Tensor, labels: Tensor, meter: Meter, draws: Tensor) -> Tensor:
        """Mean hinge over the mined triplets, 0 where there are none."""
        mined = mined_hinge(
            z.flatten(0, 1), labels.flatten(), draws, picked=self.picked, margin=self.margin, distance=self.distance
        )
        # Batches without a triplet do not count; whether this is one stays on the device.
        meter.add("active_triplet_frac", mined.active, mined.found * float(len(z)))
        return mined.loss


@LOSSES.attach("semihard")
class SemiHardTriplets(_Hinged):
    """TF-Addons' semi-hard triplet loss: v = 1."""

    name = "semihard"

    def __init__(self, margin: float, distance: str, fallback: str) -> None:
        super().__init__(margin, distance)
        self.fallback = fallback

    def settings(self) -> dict[str, float | str]:
        """With the fallback."""
        return {**super().settings(), "fallback": self.fallback}

    def forward(self, z: Tensor, labels: Tensor, meter: Meter, draws: Tensor) -> Tensor:
        """See `triplet_semihard`."""
        flat, flat_labels = z.flatten(0, 1), labels.flatten()
        return triplet_semihard(flat, flat_labels, margin=self.margin, distance=self.distance, fallback=self.fallback)


class OverClasses(BaseLoss):
    """A loss with a row of parameters for each class that is trained on."""

    position: Tensor
    classes: Tensor

    def __init__(self, classes: Int64[Tensor, " c"]) -> None:
        super().__init__()
        position = torch.full((int(classes.max()) + 1,), -1)
        position[classes] = torch.arange(len(classes))
        self.register_buffer("position", position)  # label -> row
        self.register_buffer("classes", classes, persistent=False)


class Classifier(OverClasses):
    """Cross-entropy of ArcFace or, as the control that accumulation cannot change, of a linear layer: v = 1."""

    def __init__(self, name: str, head: ArcFace | SoftmaxClassifier, classes: Int64[Tensor, " c"]) -> None:
        super().__init__(classes)
        self.name = name
        self.head = head

    def settings(self) -> dict[str, float | str]:
        """ArcFace has two fields of its own."""
        if isinstance(self.head, ArcFace):
            return {"loss": self.name, "scale": self.head.scale, "margin": self.head.margin}
        return {"loss": self.name}

    def forward(self, z: Tensor, labels: Tensor, meter: Meter, draws: Tensor) -> Tensor:
        """Mean cross-entropy; labels are classes trained on."""
        flat, target = z.flatten(0, 1), self.position[labels.flatten()]
        loss: Tensor = self.head(flat, target)
        with torch.no_grad():
            correct = self.head.logits(flat).argmax(dim=1) == target
        meter.add("accuracy", correct.float().mean(), float(len(z)))
        return loss

    @torch.no_grad()
    def predicted(self, z: Float[Tensor, "n d"]) -> Int64[Tensor, " n"]:
        """Label of the class whose logit, without a margin, is highest."""
        best = [self.head.logits(rows).argmax(dim=1) for rows in z.split(PREDICTED_AT_ONCE)]
        predicted: Tensor = self.classes[torch.cat(best)]
        return predicted


@LOSSES.attach("nt_xent")
class TwoViews(BaseLoss):
    """NT-Xent over two views of each image: v = 2."""

    name = "nt_xent"

    def __init__(self, temperature: float, similarity: str) -> None:
        super().__init__()
        self.temperature = temperature
        self.similarity = similarity

    def settings(self) -> dict[str, float | str]:
        """Temperature and similarity."""
        return {"loss": self.name, "temperature": self.temperature, "similarity": self.similarity}

    def bounds(self, neighbourhood: int) -> dict[str, float]:
        """The loss of orthogonal negatives (0 if lengths are free) and that of guessing, for so many pairs."""
        floor = 0.0 if self.similarity == "dot" else nt_xent_floor(neighbourhood, self.temperature)
        return {"floor": floor, "chance": nt_xent_chance(neighbourhood)}

    def forward(self, z: Tensor, labels: Tensor, meter: Meter, draws: Tensor) -> Tensor:
        """See `nt_xent`."""
        return nt_xent(z[:, 0], z[:, 1], temperature=self.temperature, similarity=self.similarity)


def validation_loss(trained: BaseLoss) -> BaseLoss:
    """What the validation loss is computed with: the trained loss itself, or mining that no curriculum moves."""
    if isinstance(trained, MinedTriplets):
        return MinedTriplets(VALIDATION_MINING, trained.margin, trained.distance)
    return trained
