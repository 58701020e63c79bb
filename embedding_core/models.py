"""Networks from uint8 images to unit embeddings."""

import pickle
from contextlib import AbstractContextManager
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from embedding_core.config import TrainConfig
from embedding_core.faults import Faults
from embedding_core.seeding import stream

WIDTHS = (32, 64, 128, 128)
"""Channels of `small_cnn`'s blocks; each halves the side."""

GROUPS = 8
"""GroupNorm groups, 4 to 16 channels each."""

VGG_MIN_SIDE = 32
"""VGG11 halves the side five times."""


class EmbeddingNetwork(nn.Module):
    """uint8 images -> unit embeddings: scale, backbone, average pool, linear head, normalise (in float32)."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear,
        *,
        image_shape: tuple[int, int, int],
        mean: Tensor,
        std: Tensor,
        precision: str,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.image_shape = image_shape
        self.precision = precision
        self.register_buffer("mean", mean.view(-1, 1, 1))
        self.register_buffer("std", std.view(-1, 1, 1))

    def forward(self, images: Tensor) -> Float[Tensor, "*views d"]:
        """uint8 [n, c, h, w] -> [n, d], or [n, v, c, h, w] -> [n, v, d]; rows have unit length."""
        flat = images.flatten(0, -4)
        with self._autocast(images.device.type):
            x = ((flat.float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
            features = self.backbone(x).mean(dim=(2, 3))
        z = self.head(features.float())  # outside: neighbours and metrics must not see embeddings rounded to bf16
        unit: Tensor = F.normalize(z, dim=1).unflatten(0, images.shape[:-3])
        return unit

    def _autocast(self, device_type: str) -> AbstractContextManager[None]:
        return torch.autocast(device_type, torch.bfloat16, enabled=self.precision == "bf16")


def build_network(
    config: TrainConfig, *, shape: tuple[int, int, int], mean: Tensor, std: Tensor, precision: str
) -> EmbeddingNetwork:
    """Network for images of `shape` (c, h, w), initialised from the block's own stream; on the CPU.

    Args:
        config: `backbone`, `norm_kind`, `weights`, `embedding_dim` and `seed` are read.
        shape: channels, height and width of the images.
        mean: per channel, of the training images, in [0, 1].
        std: likewise; > 0.
        precision: `float32` or `bf16`.

    Raises:
        Faults: images too small for the backbone, weights that cannot be had or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(config.seed, "initialisation"))
        if config.backbone == "vgg11":
            backbone, width = _vgg11(config, shape), 512
        else:
            backbone, width = _small_cnn(shape[0], config.norm_kind), WIDTHS[-1]
        head = nn.Linear(width, config.embedding_dim)
    network = EmbeddingNetwork(backbone, head, image_shape=shape, mean=mean, std=std, precision=precision)
    return network.to(memory_format=torch.channels_last)


def _small_cnn(channels: int, norm_kind: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in WIDTHS:
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=norm_kind == "none"),
            nn.MaxPool2d(2, ceil_mode=True),  # before the norm: a quarter of its work, 1.7 x the images/s on a CPU
            *_norm(norm_kind, width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return nn.Sequential(*layers)


def _norm(kind: str, width: int) -> list[nn.Module]:
    match kind:
        case "group":
            return [nn.GroupNorm(GROUPS, width)]
        case "batch":
            return [nn.BatchNorm2d(width)]
    return []


def _vgg11(config: TrainConfig, shape: tuple[int, int, int]) -> nn.Module:
    from torchvision.models import VGG11_Weights
    from torchvision.models.vgg import cfgs, make_layers

    if min(shape[1:]) < VGG_MIN_SIDE:
        raise Faults([f"`vgg11` needs images of at least {VGG_MIN_SIDE} pixels a side, but got {shape[1]}x{shape[2]}."])
    # `vgg11()` would draw 124 million weights of a classifier that has no use here: a second and 500 MB per trial.
    features = make_layers(cfgs["A"])
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    if config.weights == "imagenet":
        try:
            state = VGG11_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
        except OSError as error:
            raise Faults(
                [
                    f"ImageNet weights of vgg11 could not be fetched ({error}). Name a local file with "
                    "`weights=FILE` or train from scratch with `weights=none`."
                ]
            ) from error
        _load_features(features, state, "torchvision's ImageNet weights")
    elif config.weights != "none":
        _load_features(features, _state_dict(Path(config.weights)), config.weights)
    return features if shape[0] == 3 else nn.Sequential(_Repeat(), *features)


class _Repeat(nn.Module):
    """Grey images to the three channels that ImageNet networks expect."""

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1)


def _state_dict(file: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Faults([f"`weights` must be `none`, `imagenet` or a readable file, but got {file} ({error})."]) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError) as error:
        raise Faults([f"`weights`: {file} is not a saved state dict."]) from error
    return state


def _load_features(features: nn.Sequential, state: dict[str, Tensor], source: str) -> None:
    """Take the convolutions of a vgg11 state dict; its classifier is left out."""
    prefix = "features."
    if not isinstance(state, dict):
        raise Faults([f"`weights`: {source} is not a saved state dict."])
    try:
        features.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    except RuntimeError as error:
        raise Faults([f"`weights`: {source} is not a state dict of torchvision's vgg11. {error}"]) from error
