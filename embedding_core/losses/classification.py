"""Losses over classes, with parameters of their own: ArcFace, and the softmax that it is compared with."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from embedding_core.plugins.builtin import LOSSES


@LOSSES.attach("arcface")
class ArcFace(nn.Module):
    """Cross-entropy over classes, each a proxy direction, with an angular margin on the target.

    The proxies are parameters and belong in the optimiser. They are drawn from the global generator.

    Args:
        embedding_dim: d.
        num_classes: c >= 1; labels are 0 to c - 1.
        scale: s > 0, length of the logits.
        margin: m in radians, in [0, pi).

    Source: Deng et al. 2019, arXiv 1801.07698, eq. 3; beyond pi - m the linear continuation of its published code.
    """

    def __init__(self, embedding_dim: int, num_classes: int, *, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.xavier_normal_(self.weight)  # normal: any direction is as likely as any other

    def logits(self, z: Float[Tensor, "n d"], labels: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n c"]:
        """Scaled cosines, the one of the target with the margin if `labels` are given; accuracy is without."""
        cosine = F.normalize(_like(z, self.weight), dim=1) @ F.normalize(_like(self.weight, z), dim=1).T
        if labels is not None:
            target = labels[:, None]
            cosine = cosine.scatter(1, target, self._with_margin(cosine.gather(1, target)))
        return self.scale * cosine

    def _with_margin(self, cosine: Tensor) -> Tensor:
        # Rounding puts one float32 unit vector in five beyond 1, where acos is NaN, and at 1 its slope is infinite.
        cosine = cosine.clamp(-1 + 1e-7, 1 - 1e-7)
        theta = cosine.acos()
        beyond = cosine - self.margin * math.sin(self.margin)  # cos would rise again
        return torch.where(theta <= math.pi - self.margin, (theta + self.margin).cos(), beyond)

    def forward(self, z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
        """Mean cross-entropy with the margin.

        Raises:
            ValueError: a label is out of range and on the CPU; on a GPU the look would wait for the device, which
                reports it itself, and a traced graph cannot look.
        """
        _check_labels(labels, len(self.weight))
        return F.cross_entropy(self.logits(z, labels), labels.long())


@LOSSES.attach("softmax")
class SoftmaxClassifier(nn.Module):
    """Cross-entropy of a linear layer with bias: a mean over samples, so the control that accumulation cannot change.

    Args:
        embedding_dim: d.
        num_classes: c >= 1; labels are 0 to c - 1.
    """

    def __init__(self, embedding_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, num_classes)

    def logits(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The layer's outputs."""
        weight, bias = self.linear.weight, self.linear.bias
        return F.linear(_like(z, weight), _like(weight, z), _like(bias, z))

    def forward(self, z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
        """Mean cross-entropy; errors as for `ArcFace`."""
        _check_labels(labels, self.linear.out_features)
        return F.cross_entropy(self.logits(z), labels.long())


def _like(x: Tensor, other: Tensor) -> Tensor:
    """`x` in the wider of the two types, at least float32."""
    return x.to(torch.promote_types(torch.promote_types(x.dtype, other.dtype), torch.float32))


def _check_labels(labels: Tensor, num_classes: int) -> None:
    if torch.compiler.is_compiling():
        return
    if labels.device.type == "cpu" and len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"Labels must be in [0, {num_classes}), but got {labels.min().item()} to {labels.max().item()}."
        )
