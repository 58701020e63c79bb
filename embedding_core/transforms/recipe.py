"""The augmentation of one configuration on one data set."""

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.transforms.augmentations import augment


@dataclass(frozen=True, slots=True)
class Recipe:
    """What `augment` is told for every batch."""

    name: str
    padding: int
    flip: bool
    strength: float

    @classmethod
    def of(cls, config: TrainConfig, *, side: int, flips: bool) -> "Recipe":
        """Settle what `config` leaves to the loss and the data set.

        Args:
            config: what was asked for.
            side: of the square images, in pixels.
            flips: whether the mirror image of one is as good an image of its class.
        """
        name = config.augmentation
        if config.trains_on_features and config.feature_views == 1:
            name = "none"
        elif name == "auto":
            name = "simclr" if config.views_per_example == 2 else "crop"
        return cls(
            name,
            side // 8 if config.crop_padding is None else config.crop_padding,
            flips if config.flip is None else config.flip,
            config.augmentation_strength,
        )

    def apply(self, images: UInt8[Tensor, "n c h w"], draw: torch.Generator) -> UInt8[Tensor, "n c h w"]:
        """Each image augmented by itself, from the stream `draw`."""
        return augment(images, self.name, padding=self.padding, flip=self.flip, strength=self.strength, generator=draw)
