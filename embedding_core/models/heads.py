"""Heads: backbone features to embeddings (not yet of unit length)."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from embedding_core.config.train_config import CHOICES
from embedding_core.errors import Faults, unknown
from embedding_core.models.backbones import norm

STUDY2_WIDTH = 64
"""Channels of the convolutions in study 2's head."""


class MeanPool(nn.Module):
    """Mean over positions; a token passes as it is."""

    def forward(self, features: Float[Tensor, "n w ..."]) -> Float[Tensor, "n w"]:
        """[n, w, h, w'] -> [n, w]."""
        return features.mean(dim=(2, 3)) if features.ndim == 4 else features


class MeanMaxPool(nn.Module):
    """Mean and maximum over positions side by side."""

    def forward(self, features: Float[Tensor, "n w h v"]) -> Float[Tensor, "n w2"]:
        """[n, w, h, v] -> [n, 2 w]."""
        return torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)


def mean_of(pool: nn.Module, pooled: Float[Tensor, "n ..."]) -> Float[Tensor, "n w"]:
    """Mean over positions of the features that `pool` made `pooled` of."""
    if isinstance(pool, MeanMaxPool):
        return pooled[:, : pooled.shape[1] // 2]
    mean: Tensor = MeanPool()(pooled)
    return mean


def build_head(
    name: str,
    features: torch.Size,
    *,
    embedding_dim: int,
    norm_kind: str,
    dropout: float = 0.0,
    layers: int = 1,
    width: int | None = None,
) -> tuple[nn.Module, nn.Module]:
    """Pool and head, with torch's initialisation, drawn from the global generator.

    Args:
        name: `linear`, `mlp`, `study2` or `study3`.
        features: shape of one image's backbone features, (width, h, w) or (width,).
        embedding_dim: length of the embedding.
        norm_kind: `group`, `batch` or `none`; a linear head has no normalisation.
        dropout: share of features dropped before the last linear layer (`study2`: of the embedding); in [0, 1).
        layers: hidden layers of `mlp`, >= 1.
        width: of the hidden layers of `mlp`; None: the backbone's.

    Raises:
        Faults: unknown name; no feature maps, or too small ones, for the heads of the studies.
    """
    if name in ("study2", "study3") and len(features) != 3:
        raise Faults([f"Head `{name}` needs feature maps, but the backbone gives {features[0]} numbers for an image."])
    match name:
        case "linear":
            linear = nn.Linear(features[0], embedding_dim)
            return MeanPool(), nn.Sequential(*_dropout(dropout), linear) if dropout else linear
        case "mlp":
            hidden = width or features[0]
            return MeanPool(), _mlp(features[0], embedding_dim, hidden, layers, norm_kind, dropout)
        case "study2":
            return nn.Identity(), _study2(features, embedding_dim, norm_kind, dropout)
        case "study3":
            return MeanMaxPool(), nn.Sequential(
                *_vector_norm(norm_kind, 2 * features[0]),
                *_dropout(dropout),
                nn.Linear(2 * features[0], embedding_dim, bias=False),
            )
    raise Faults([unknown("head", name, CHOICES["head"])])


def describe_head(pool: nn.Module, head: nn.Module) -> dict[str, Any]:
    """`head`, `head_layers`, `head_width` (None: nothing hidden), `dropout` and `embedding_dim` of live layers."""
    linear = [module for module in head.modules() if isinstance(module, nn.Linear)]
    hidden = linear[:-1]
    if any(isinstance(module, nn.Conv2d) for module in head.modules()):
        name = "study2"
    elif isinstance(pool, MeanMaxPool):
        name = "study3"
    else:
        name = "mlp" if hidden else "linear"
    return {
        "head": name,
        "head_layers": len(hidden),
        "head_width": hidden[0].out_features if hidden else None,
        "dropout": next((module.p for module in head.modules() if isinstance(module, nn.Dropout)), 0.0),
        "embedding_dim": linear[-1].out_features,
    }


def last_linear(head: nn.Module) -> nn.Linear:
    """The linear layer that makes the embedding."""
    return [module for module in head.modules() if isinstance(module, nn.Linear)][-1]


def _mlp(width: int, embedding_dim: int, hidden: int, layers: int, norm_kind: str, dropout: float) -> nn.Sequential:
    """Projection head: SimCLR's with one hidden layer, study 4's with five."""
    modules: list[nn.Module] = []
    for _ in range(layers):
        modules += [
            nn.Linear(width, hidden, bias=norm_kind != "batch"),  # BatchNorm would take the bias out again
            *_vector_norm(norm_kind, hidden),
            nn.ReLU(inplace=True),
        ]
        width = hidden
    return nn.Sequential(*modules, *_dropout(dropout), nn.Linear(width, embedding_dim))


def _study2(features: torch.Size, embedding_dim: int, norm_kind: str, dropout: float) -> nn.Sequential:
    """Two convolutions, max-pool, linear layer; its dropout is on the embedding itself."""
    width, *side = features
    if min(side) < 2:
        raise Faults(
            [f"Head `study2` halves feature maps and needs at least 2x2 positions, but got {side[0]}x{side[1]}."]
        )
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [
            nn.Conv2d(width, STUDY2_WIDTH, 3, padding=1),
            *norm(norm_kind, STUDY2_WIDTH),
            nn.ReLU(inplace=True),
        ]
        width = STUDY2_WIDTH
    return nn.Sequential(
        *layers,
        nn.MaxPool2d(2, ceil_mode=True),  # of 3x3 positions, none is left out
        nn.Flatten(),
        nn.Linear(width * math.ceil(side[0] / 2) * math.ceil(side[1] / 2), embedding_dim),
        nn.LeakyReLU(),
        *_dropout(dropout),
    )


def _vector_norm(kind: str, width: int) -> list[nn.Module]:
    match kind:
        case "group":
            return [nn.GroupNorm(1, width)]  # over the whole vector: a group of few values would say little or nothing
        case "batch":
            return [nn.BatchNorm1d(width)]
    return []


def _dropout(share: float) -> list[nn.Module]:
    return [nn.Dropout(share)] if share else []
