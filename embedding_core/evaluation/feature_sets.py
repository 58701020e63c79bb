"""Everything of a frozen backbone that a run will want computed, known ahead of the run."""

from functools import partial
from typing import NamedTuple

import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.evaluation.held_out_sets import held_out_images
from embedding_core.models.frozen_features import Changed, Watched, are_there, feature_key
from embedding_core.models.inputs import FeatureInputs, Images, inputs_of
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.transforms.colour import has_colour
from embedding_core.transforms.recipe import Recipe


class FeatureSet(NamedTuple):
    """One view of one set of images."""

    inputs: FeatureInputs
    view: str
    changed: Changed
    key: str

    @property
    def images(self) -> int:
        """How many."""
        return len(self.inputs.source.images)

    def compute(self, watched: Watched) -> None:
        """Compute the features and keep them in the cache."""
        self.inputs.computed(self.view, self.changed, watched)

    def stand_in(self) -> None:
        """Drawn features in the place of these, for a process that only wants to know how long training takes."""
        probe = self.inputs.source.images[:1].to(self.inputs.network.mean.device)
        with torch.no_grad():
            shape = self.inputs.network.pooled(probe).shape[1:]
        drawn = torch.rand(self.images, *shape, device=probe.device)
        self.inputs.kept[self.inputs.content, self.view] = self.key, drawn


def missing_features(config: TrainConfig, data: DeviceData, *, precision: str) -> list[FeatureSet]:
    """What a run with `config` will compute before it trains, as this machine's cache does not hold it; none of a run
    that trains its backbone.

    Args:
        config: of the run.
        data: its images.
        precision: of the backbone, as `EmbeddingNetwork` has it.
    """
    if not config.trains_on_features:
        return []
    split = data.split(config)
    mean, std = data.scaling(split, kind=config.input_scaling)
    network = build_network(config, shape=data.shape, mean=mean, std=std, precision=precision).to(data.device).eval()
    recipe = Recipe.of(config, side=data.shape[-1], flips=data.flips)
    source = partial(_sets, config=config, network=network, recipe=recipe, data=data)
    found = source(data, grey=False, augmented=True)
    if config.eval_test:
        for part in held_out_images(data, split).parts.values():
            found += source(part, grey=has_colour(part.images), augmented=False)
    return [each for each in found if not are_there(each.key)]


def _sets(
    images: Images,
    *,
    config: TrainConfig,
    network: EmbeddingNetwork,
    recipe: Recipe,
    data: DeviceData,
    grey: bool,
    augmented: bool,
) -> list[FeatureSet]:
    inputs = inputs_of(images, config=config, network=network, recipe=recipe, kept=data.features)
    assert isinstance(inputs, FeatureInputs)
    return [
        FeatureSet(inputs, view, changed, feature_key(network, content=inputs.content, view=view))
        for view, changed in inputs.changes(grey=grey, augmented=augmented).items()
    ]
