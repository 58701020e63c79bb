"""Networks from uint8 images to unit embeddings."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.metrics.distances import at_least_float32
from embedding_core.models.backbones import (
    STUDY2_STAGES,
    build_backbone,
    feature_shape,
    has_small_stem,
    input_channels,
)
from embedding_core.models.heads import build_head, describe_head, last_linear, mean_of
from embedding_core.models.pretrained import give_weights, of_backbone, published_scaling, read_weights
from embedding_core.plugins.builtin import BACKBONES
from embedding_core.plugins.registry import strangers_errors
from embedding_core.seeding import stream


class EmbeddingNetwork(nn.Module):
    """uint8 images -> embeddings: scale, backbone, pool, head, normalise (all after the backbone in float32).

    Args:
        feature_shape: of one image's features, as the backbone gives them: (width, h, w) or (width,).
        unit: whether embeddings are brought to unit length, the last of these steps. Where the training loss needs
            their length they are not; `evaluation.validation.embed` does it then.
        code: hash of the plug-in that the backbone is from; empty: it is built in.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        pool: nn.Module,
        head: nn.Module,
        *,
        image_shape: tuple[int, int, int],
        feature_shape: torch.Size,
        mean: Tensor,
        std: Tensor,
        precision: str,
        unit: bool = True,
        code: str = "",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.head = head
        self.image_shape = image_shape
        self.feature_shape = feature_shape
        self.precision = precision
        self.unit = unit
        self.code = code
        self.pooled_dims = 3 if isinstance(pool, nn.Identity) else 1
        self.register_buffer("mean", mean.view(-1, 1, 1))
        self.register_buffer("std", std.view(-1, 1, 1))

    def forward(self, inputs: Tensor) -> Float[Tensor, "*views d"]:
        """Images, uint8 [n, c, h, w] or [n, v, c, h, w], -> [n, d] or [n, v, d]; rows of unit length if `unit`.

        Or what `pooled` made of the images, float [n, ...] or [n, v, ...]: then the backbone is not run.
        """
        flat, lead = self._flat(inputs)
        z = self.head(flat)
        embeddings: Tensor = (F.normalize(z, dim=1) if self.unit else z).unflatten(0, lead)
        return embeddings

    def features(self, inputs: Tensor) -> Float[Tensor, "*views w"]:
        """Backbone features (mean over positions, or the token) of the same inputs, before any head; any length."""
        flat, lead = self._flat(inputs)
        features: Tensor = mean_of(self.pool, flat).unflatten(0, lead)
        return features

    def pooled(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n ..."]:
        """What the head gets: features of the backbone, pooled as it wants them."""
        with self._autocast(images.device.type):
            # Mean and deviation have as many channels as the backbone expects: grey images are repeated here.
            x = ((images.float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
            features: Tensor = self.backbone(x)
        # Neighbours and metrics must not see embeddings rounded to bf16.
        pooled: Tensor = self.pool(at_least_float32(features))
        return pooled

    @property
    def frozen(self) -> bool:
        """Whether the backbone is kept as it is."""
        return not any(p.requires_grad for p in self.backbone.parameters())

    def train(self, mode: bool = True) -> "EmbeddingNetwork":
        """Training or evaluation mode; a frozen backbone stays in evaluation mode, its running statistics still."""
        frozen = self.frozen
        for module in self.children():
            kept = frozen and module is self.backbone
            if not kept or module.training:  # going through its hundreds of layers would take as long as a validation
                module.train(mode and not kept)
        self.training = mode
        return self

    def _flat(self, inputs: Tensor) -> tuple[Tensor, torch.Size]:
        """Pooled features [n v, ...], and the sizes (n,) or (n, v) that they are to be unflattened to."""
        of_images = inputs.dtype == torch.uint8
        lead = inputs.shape[: -3 if of_images else -self.pooled_dims]
        flat = inputs.flatten(0, len(lead) - 1)
        return self.pooled(flat) if of_images else flat, lead

    def _autocast(self, device_type: str) -> AbstractContextManager[None]:
        return torch.autocast(device_type, torch.bfloat16, enabled=self.precision == "bf16")


def build_network(
    config: TrainConfig,
    *,
    shape: tuple[int, int, int],
    mean: Tensor,
    std: Tensor,
    precision: str,
    pretrained: bool = True,
    follows: Mapping[str, Tensor] | None = None,
    features: torch.Size | None = None,
) -> EmbeddingNetwork:
    """Network for images of `shape` (c, h, w), initialised from the block's own stream; on torch's default device.

    Args:
        config: `backbone`, `norm_kind`, `weights`, `input_scaling`, `seed`, `loss` and `similarity` (whether embeddings
            have unit length) and the fields of the head are read.
        shape: channels, height and width of the images.
        mean: per channel, of the training images, in [0, 1].
        std: likewise; > 0.
        precision: of the backbone, `float32`, `tf32` or `bf16`.
        pretrained: False leaves `config.weights` unread, and builds the network that published ones fit.
        follows: state of the network that the caller loads next, a checkpoint's. What is built follows its weights (a
            ResNet's stem, the colours of `small_cnn`): with these at hand, `config.weights` is not read.
        features: shape of one image's features, where it is known; None: the backbone is run on one image to learn it.

    Raises:
        Faults: images too small for the backbone, weights that cannot be had or do not fit.
    """
    if config.input_scaling == "imagenet":
        mean, std = published_scaling(config.backbone)
    pretrained = pretrained and follows is None
    given = read_weights(config.weights, name=config.backbone) if pretrained else {}
    known = given if follows is None else of_backbone(follows, name=config.backbone)
    channels = input_channels(config.backbone, known, otherwise=mean.numel())
    small_stem = has_small_stem(known)
    if small_stem is None and config.weights != "none":
        small_stem = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(config.seed, "initialisation"))
        backbone = build_backbone(
            config.backbone,
            channels=channels,
            side=shape[1:],
            norm_kind=config.norm_kind,
            small_stem=small_stem,
            stages=STUDY2_STAGES if config.head == "study2" else None,
            settings=dict(config.of_plugins),
        )
        with strangers_errors(BACKBONES[config.backbone], f"cannot take {shape[1]}x{shape[2]} images"):
            features = features or feature_shape(backbone, channels=channels, side=shape[1:])
        pool, head = build_head(
            config.head,
            features,
            embedding_dim=config.embedding_dim,
            norm_kind=config.norm_kind,
            dropout=config.dropout,
            layers=config.head_layers,
            width=config.head_width,
        )
    last_linear(head).requires_grad_(config.train_last_layer)
    if pretrained and config.weights != "none":
        give_weights(backbone, given, name=config.backbone, source=config.weights)
    network = EmbeddingNetwork(
        backbone,
        pool,
        head,
        image_shape=shape,
        feature_shape=features,
        mean=mean.flatten().expand(channels).clone(),
        std=std.flatten().expand(channels).clone(),
        precision=precision,
        unit=config.trains_on_unit_length,
        code=BACKBONES[config.backbone].sha256 or "",
    )
    return network.to(memory_format=torch.channels_last)


def set_frozen(network: EmbeddingNetwork, frozen: bool) -> None:
    """Freeze the backbone or train it again.

    Frozen, it has no gradients (nor does its forward pass keep anything for them), its BatchNorm uses the running
    statistics without moving them, and nothing in it is dropped.
    """
    network.backbone.requires_grad_(not frozen)
    network.train(network.training)


@torch.no_grad()
def pooled_in_parts(network: EmbeddingNetwork, inputs: Tensor, *, examples: int) -> Tensor:
    """What the head of a network with a frozen backbone gets for `inputs`, so many examples at a time; features as
    they are."""
    if inputs.dtype != torch.uint8:
        return inputs
    images = inputs.shape[:-3].numel() // len(inputs)
    parts = inputs.flatten(0, -4).split(examples * images)
    pooled: Tensor = torch.cat([network.pooled(part) for part in parts]).unflatten(0, inputs.shape[:-3])
    return pooled


def describe(network: EmbeddingNetwork, *, backbone: str) -> dict[str, Any]:
    """What the live layers are, by `TrainConfig`'s field names; no stored name is read.

    Args:
        network: whose layers are looked at.
        backbone: name of the one whose published weights `input_scaling=imagenet` is told by.
    """
    mean = network.mean.flatten().float().cpu()
    return {
        "norm_kind": _norm_kind(network),
        "input_scaling": "imagenet" if torch.equal(mean, published_scaling(backbone)[0]) else "native",
        **describe_head(network.pool, network.head),
    }


def _norm_kind(network: EmbeddingNetwork) -> str:
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            return "group"
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            return "batch"
    return "none"
