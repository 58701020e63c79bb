"""What a backbone must be."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.conformance.properties import RESUMES, TRAVELS, Property, apart, check, elsewhere, resumed
from embedding_core.errors import Faults
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.plugins.builtin import BACKBONES
from embedding_core.training.accumulation import accumulated_step

SIDE = 64
"""Pixels, enough for every built-in one."""

CLOSE = 1e-3
"""Relative error of what is equal but for rounding, in float32 and after tens of layers."""


def check_backbone(name: str, *, side: int = SIDE, **settings: Any) -> None:
    """Try every property of a backbone, built in or of a plug-in in use.

    Args:
        name: of `TrainConfig.backbone`.
        side: of the images it is tried on, in pixels.
        settings: fields of the configuration; those with a dot as `**{"backbone.depth": 2}`.

    Raises:
        NotConforming: with every property that does not hold.
        Faults: it cannot be built for such images.
    """
    check(f"backbone {name}", backbone_properties(name, settings, side=side))


def backbone_properties(name: str, settings: Mapping[str, Any], *, side: int = SIDE) -> dict[str, Property]:
    """By name; its norm is the first that it can be built with, unless `settings` have one."""
    config = _buildable(name, settings, side)
    properties: dict[str, Property] = {
        "finite on hostile images": lambda: _finite(config, side),
        "an image alone is as among others": lambda: _alone(config, side),
        "the same seed draws the same weights": lambda: _drawn(config, side),
        RESUMES: lambda: resumed(config),
        TRAVELS: lambda: _travels(config, side),
    }
    if config.norm_kind != "batch":
        properties["cached accumulation is the whole batch"] = lambda: _cached(config, side)
    return properties


def _buildable(name: str, settings: Mapping[str, Any], side: int) -> TrainConfig:
    small = {"subset": 8, "batch_size": 4, "epochs": 2, "val_images": 20, "embedding_dim": 8, "image_size": side}
    faults: Faults | None = None
    for norm_kind in BACKBONES[name].norms:
        try:
            config = TrainConfig.from_flat(
                {**small, "loss": "softmax", "backbone": name, "norm_kind": norm_kind, **settings}
            )
            _network(config, side)
        except Faults as error:
            faults = faults or error
        else:
            return config
    assert faults is not None
    raise faults


def _network(config: TrainConfig, side: int) -> EmbeddingNetwork:
    half = torch.tensor([0.5])
    return build_network(config, shape=(1, side, side), mean=half, std=half, precision="float32")


def _images(n: int, side: int) -> Tensor:
    return torch.randint(256, (n, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _finite(config: TrainConfig, side: int) -> str:
    network = _network(config, side).eval()
    for what, images in {
        "black": torch.zeros_like(_images(2, side)),
        "white": torch.full_like(_images(2, side), 255),
        "noisy": _images(2, side),
    }.items():
        z = network.pooled(images)
        if not z.isfinite().all():
            return f"features of {what} images are not finite"
        gradients = torch.autograd.grad(network(images).square().sum(), list(network.parameters()), allow_unused=True)
        if not all(each.isfinite().all() for each in gradients if each is not None):
            return f"gradients of {what} images are not finite"
    return ""


@torch.no_grad()
def _alone(config: TrainConfig, side: int) -> str:
    network, images = _network(config, side).eval(), _images(4, side)
    together = network.pooled(images)
    if not torch.equal(together, network.pooled(images)):
        return "the same images have other features the second time"
    alone = torch.cat([network.pooled(image[None]) for image in images])
    return apart(alone, together, "features of images one by one and together", close=CLOSE)


def _drawn(config: TrainConfig, side: int) -> str:
    first = _network(config, side).state_dict()
    torch.rand(1)  # whoever draws from the global generator beside it
    again = _network(config, side).state_dict()
    differing = [name for name, value in first.items() if not torch.equal(value, again[name])]
    return f"`{differing[0]}` is another the second time" if differing else ""


def _cached(config: TrainConfig, side: int) -> str:
    network, images = _network(config, side).train(), _images(4, side)
    target = torch.randn(4, config.embedding_dim, generator=torch.Generator().manual_seed(1))

    def gradient(accum_steps: int, seed: int = 0) -> Tensor:
        network.zero_grad(set_to_none=True)
        torch.manual_seed(seed)
        accumulated_step(
            network, images, lambda z, part: (z * target[part]).sum(), accum_steps=accum_steps, mode="cached"
        )
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    if not torch.equal(gradient(1), gradient(1, seed=1)):
        return ""  # dropout draws otherwise for parts: there is nothing to compare
    return apart(gradient(2), gradient(1), "gradients of two passes and of one", close=CLOSE)


@torch.no_grad()
def _travels(config: TrainConfig, side: int) -> str:
    images = _images(2, side)
    here = _network(config, side).eval().pooled(images)
    with elsewhere(config) as sent:
        there = _network(sent, side).eval().pooled(images)
    return "" if torch.equal(here, there) else "the same configuration makes another network there"
