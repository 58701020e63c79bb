"""What a training loss must be."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.conformance.properties import RESUMES, TRAVELS, Property, apart, check, elsewhere, resumed
from embedding_core.data.samplers import micro_batch_slices
from embedding_core.losses.modules import BaseLoss
from embedding_core.losses.objective import base_loss
from embedding_core.metrics.meter import Meter
from embedding_core.plugins.builtin import LOSSES
from embedding_core.training.accumulation import accumulated_step

CLASSES, EXAMPLES, DIM = 4, 12, 8

CLOSE = 1e-4
"""Relative error of what is equal but for rounding, in float32."""

ONE_CLASS, NO_PAIR = [1] * 6, [0, 1, 2, 3]


def check_loss(name: str, **settings: Any) -> None:
    """Try every property of a loss, built in or of a plug-in in use.

    Args:
        name: of `TrainConfig.loss`.
        settings: fields of the configuration; those with a dot as `**{"loss.alpha": 2.0}`.

    Raises:
        NotConforming: with every property that does not hold.
    """
    check(f"loss {name}", loss_properties(name, settings))


def loss_properties(name: str, settings: Mapping[str, Any]) -> dict[str, Property]:
    """By name."""
    small = {"subset": 48, "batch_size": 24, "epochs": 2, "val_images": 60, "embedding_dim": DIM, "loss": name}
    config = TrainConfig.from_flat({**small, **settings})
    properties: dict[str, Property] = {
        "no state between batches": lambda: _stateless(config),
        "finite on hostile batches": lambda: _finite(config),
        "gradient reaches the embeddings": lambda: _trains(config),
        "cached accumulation is the whole batch": lambda: _cached(config),
        RESUMES: lambda: resumed(config),
        TRAVELS: lambda: _travels(config),
    }
    if LOSSES[name].sees == "sample":
        properties["naive accumulation is the whole batch"] = lambda: _naive(config)
    return properties


def _made(config: TrainConfig) -> BaseLoss:
    loss = base_loss(config, classes=torch.arange(CLASSES))
    loss.begin_epoch(0, config.epochs)
    return loss


def _batch(config: TrainConfig, seed: int, classes: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """Embeddings [m, v, d] on the sphere and labels [m, v]; of a triplet the last image is of another class."""
    of = torch.tensor(classes) if classes is not None else torch.arange(EXAMPLES) * 7 % CLASSES
    views = config.views_per_example
    draw = torch.Generator().manual_seed(seed)
    z = F.normalize(torch.randn(len(of), views, DIM, generator=draw), dim=2)
    labels = of[:, None].repeat(1, views)
    if views == 3:
        labels[:, 2] = (of + 1) % CLASSES
    return z, labels


def _value(loss: BaseLoss, z: Tensor, labels: Tensor) -> Tensor:
    torch.manual_seed(0)
    value: Tensor = loss(z, labels, Meter(), loss.draws(labels.numel(), torch.Generator().manual_seed(0)))
    return value


def _with_gradient(loss: BaseLoss, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    z = z.detach().requires_grad_()
    value = _value(loss, z, labels)
    (gradient,) = torch.autograd.grad(value, z)
    return value.detach(), gradient


def _stateless(config: TrainConfig) -> str:
    loss = _made(config)
    kept = {name: value.clone() for name, value in loss.state_dict().items()}
    batch = _batch(config, 1)
    first, gradient = _with_gradient(loss, *batch)
    _with_gradient(loss, *_batch(config, 2))
    again, gradient_again = _with_gradient(loss, *batch)
    if not torch.equal(first, again):
        return f"the same batch has the loss {first.item():.6g}, and after another one {again.item():.6g}"
    if not torch.equal(gradient, gradient_again):
        return "the same batch has another gradient after another one"
    moved = [name for name, value in loss.state_dict().items() if not torch.equal(value, kept[name])]
    return f"a forward pass has changed its `{moved[0]}`" if moved else ""


def _finite(config: TrainConfig) -> str:
    same = torch.ones(6, config.views_per_example, DIM) / DIM**0.5
    opposite = _batch(config, 3, [0, 1, 2])[0]
    batches = {
        "of one class": _batch(config, 3, ONE_CLASS),
        "without two images of a class": _batch(config, 3, NO_PAIR),
        "of a single example": _batch(config, 3, [2]),
        "of equal embeddings": (same, _batch(config, 3, [0, 0, 0, 1, 1, 1])[1]),
        "of opposite embeddings": (torch.cat([opposite, -opposite]), _batch(config, 3, [0, 1, 2, 0, 1, 2])[1]),
    }
    for what, (z, labels) in batches.items():
        try:
            value, gradient = _with_gradient(_made(config), z, labels)
        except RuntimeError as error:  # of autograd, where the loss is a constant
            return f"a batch {what}: {error}"
        if not value.isfinite():
            return f"the loss of a batch {what} is {value.item()}"
        if not gradient.isfinite().all():
            return f"the gradient of a batch {what} is not finite"
    return ""


def _trains(config: TrainConfig) -> str:
    _, gradient = _with_gradient(_made(config), *_batch(config, 4))
    return "" if gradient.any() else "it is 0 for a batch of random embeddings"


def _cached(config: TrainConfig) -> str:
    loss, (x, labels) = _made(config), _batch(config, 5)
    layer = nn.Linear(DIM, DIM)

    def gradient(accum_steps: int) -> Tensor:
        layer.zero_grad(set_to_none=True)
        accumulated_step(
            lambda part: F.normalize(layer(part), dim=2), x, lambda z, part: _value(loss, z, labels[part]),
            accum_steps=accum_steps, mode="cached",
        )  # fmt: skip
        assert layer.weight.grad is not None
        return layer.weight.grad.clone()

    return apart(gradient(3), gradient(1), "gradients of three passes and of one", close=CLOSE)


def _naive(config: TrainConfig) -> str:
    loss, (z, labels) = _made(config), _batch(config, 6)
    z.requires_grad_()
    whole = _value(loss, z, labels)
    parts = torch.stack(
        [_value(loss, z[part], labels[part]) * len(z[part]) / len(z) for part in micro_batch_slices(len(z), 5)]
    ).sum()
    fault = apart(parts.detach(), whole.detach(), "the loss of a batch and the mean over its parts", close=CLOSE)
    if not fault:
        (of_parts,), (of_whole,) = (torch.autograd.grad(value, z) for value in (parts, whole))
        fault = apart(of_parts, of_whole, "gradients of a batch and of its parts", close=CLOSE)
    return f"{fault} (it sees the batch: declare that with sees='batch')" if fault else ""


def _travels(config: TrainConfig) -> str:
    here = _value(_made(config), *_batch(config, 7))
    with elsewhere(config) as sent:
        there = _value(_made(sent), *_batch(config, 7))
    return "" if torch.equal(here, there) else f"the loss is {here.item():.6g} here and {there.item():.6g} there"
