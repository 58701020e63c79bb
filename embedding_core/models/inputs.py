"""What the network is given for an image: its pixels, or its features where the backbone is never trained."""

from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import ImageSet
from embedding_core.models.frozen_features import Changed, KeptFeatures, Watched, announced, frozen_features
from embedding_core.models.network import EmbeddingNetwork
from embedding_core.seeding import generator
from embedding_core.transforms.colour import grey_copies
from embedding_core.transforms.recipe import Recipe

VIEWS_SEED = 0
"""The cached augmented views of a data set are the same for all runs, which draw from them by their own seeds."""


PLAIN, GREY = "plain", "grey"
"""Names of views."""

Images = DeviceData | ImageSet
"""A set of images with a hash of its content."""


@dataclass(frozen=True)
class ImageInputs:
    """Pixels of a set of images, augmented anew every time; rows are places in the set."""

    images: UInt8[Tensor, "n c h w"]
    recipe: Recipe
    device: torch.device
    feature_views: int = 0
    """None is computed ahead."""

    def prepare(self) -> None:
        """Nothing is to be done ahead."""

    def plain(self, rows: Int64[Tensor, " m"] | None = None) -> Tensor:
        """Of the images as they are; None: of all."""
        return (self.images if rows is None else self.images[rows.to(self.images.device)]).to(self.device)

    def grey(self, rows: Int64[Tensor, " m"]) -> Tensor:
        """Of their grey copies."""
        return grey_copies(self.plain(rows))

    def augmented(self, rows: Int64[Tensor, "m v"], draw: torch.Generator) -> Tensor:
        """Of augmented images, [m, v, ...], each from its own draw."""
        changed: Tensor = self.recipe.apply(self.plain(rows.flatten()), draw).unflatten(0, rows.shape)
        return changed


@dataclass(frozen=True)
class FeatureInputs:
    """Features of a set of images; each view of it is computed when it is first asked for, and then kept."""

    source: Images
    network: EmbeddingNetwork
    recipe: Recipe
    views: int
    """Augmented views that are asked for; 1: none."""
    kept: KeptFeatures

    @property
    def feature_views(self) -> int:
        """Views of each image that training draws from."""
        return len(self._augmented) if self.views > 1 else 1

    def prepare(self) -> None:
        """Compute what training takes, ahead of it; views that it does not take leave the device."""
        wanted = self.changes(grey=False, augmented=True)
        for content, view in [key for key in self.kept if key[0] == self.content and key[1] not in wanted]:
            del self.kept[content, view]
        _ = self._plain, self.feature_views

    def plain(self, rows: Int64[Tensor, " m"] | None = None) -> Tensor:
        """Of the images as they are; None: of all."""
        return self._plain if rows is None else self._plain[rows.to(self._plain.device)]

    def grey(self, rows: Int64[Tensor, " m"]) -> Tensor:
        """Of their grey copies."""
        grey = self.computed(GREY, grey_copies)
        return grey[rows.to(grey.device)]

    def augmented(self, rows: Int64[Tensor, "m v"], draw: torch.Generator) -> Tensor:
        """Of one of the computed views of each image; of the two that NT-Xent compares, different ones."""
        rows = rows.to(self._plain.device)
        if self.views == 1:
            return self._plain[rows]
        first = torch.randint(self.views, rows.shape, generator=draw, device=draw.device)
        if rows.shape[1] == 2:  # the other as far from the first as another draw says
            step = torch.randint(1, self.views, rows.shape[:1], generator=draw, device=draw.device)
            first[:, 1] = (first[:, 0] + step) % self.views
        chosen = self._augmented[0][rows]
        for number, view in enumerate(self._augmented[1:], 1):
            at = first == number
            chosen = torch.where(at[(..., *[None] * (chosen.ndim - at.ndim))], view[rows], chosen)
        return chosen

    def changes(self, *, grey: bool, augmented: bool) -> dict[str, Changed]:
        """Views that runs will ask for, by name: what is done to the images for each."""
        found: dict[str, Changed] = {PLAIN: _as_they_are}
        if grey:
            found[GREY] = grey_copies
        if augmented and self.views > 1:
            for number in range(self.views):
                draw = generator(VIEWS_SEED, "feature views", number, device=self.network.mean.device)
                found[f"draw {number + 1} of {self.recipe}"] = partial(self.recipe.apply, draw=draw)
        return found

    def computed(self, view: str, changed: Changed, watched: Watched = announced) -> Tensor:
        """Features of one of the views, on the network's device."""
        return frozen_features(
            self.network, self.source.images, content=self.content, view=view, changed=changed, kept=self.kept,
            watched=watched,
        )  # fmt: skip

    @cached_property
    def content(self) -> str:
        """Hash of the images."""
        return self.source.sha256

    @cached_property
    def _plain(self) -> Tensor:
        return self.computed(PLAIN, _as_they_are)

    @cached_property
    def _augmented(self) -> list[Tensor]:
        changes = self.changes(grey=False, augmented=True)
        return [self.computed(view, changed) for view, changed in changes.items() if view != PLAIN]


def _as_they_are(images: Tensor) -> Tensor:
    return images


Inputs = ImageInputs | FeatureInputs
"""What the network takes for the images of a set."""


def inputs_of(
    images: Images, *, config: TrainConfig, network: EmbeddingNetwork, recipe: Recipe, kept: KeptFeatures
) -> Inputs:
    """Pixels, or where `config` keeps the backbone frozen and wants its features computed once, these.

    Args:
        images: the set.
        config: its `feature_views`, and whether the backbone is frozen throughout, are read.
        network: on its device, with the weights that it is to have.
        recipe: the augmentation.
        kept: features that are on the device already.
    """
    if config.trains_on_features:
        return FeatureInputs(images, network, recipe, config.feature_views, kept)
    return ImageInputs(images.images, recipe, network.mean.device)
