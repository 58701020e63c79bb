"""Optimisers by name, and the parameter groups they work on."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from embedding_core.errors import unknown
from embedding_core.models.network import EmbeddingNetwork


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rates: each weight moves by a share of its own norm.

    For a weight w of two or more dimensions with gradient g, and a buffer v that starts at zero:

        trust = eta |w| / (|g| + wd |w| + eps)
        v <- momentum v + lr trust (g + wd w)
        w <- w - v

    The rate is inside the buffer: a step already under way keeps the rate it was taken with. Parameters of one
    dimension (biases, normalisation) have trust 1 and no weight decay. So has, for its trust, a weight of norm zero,
    which could not move otherwise. Other implementations divide by |g + wd w|.

    Args:
        params: parameters or groups of them.
        lr: rate, > 0.
        momentum: in [0, 1).
        weight_decay: wd, >= 0.
        trust: eta, the share of its norm that a weight moves by at rate 1; > 0.
        eps: keeps the ratio finite without gradient or weight decay; > 0.

    Source: You, Gitman & Ginsburg 2017, arXiv 1708.03888, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update; never waits for the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                state = self.state[w]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(w)
                direction = _adapted(w, w.grad, group) if w.ndim > 1 else w.grad
                w.sub_(state["momentum_buffer"].mul_(group["momentum"]).add_(direction, alpha=group["lr"]))
        return loss


def _adapted(w: Tensor, g: Tensor, group: dict[str, Any]) -> Tensor:
    weight_decay = group["weight_decay"]
    w_norm, g_norm = torch.linalg.vector_norm(w), torch.linalg.vector_norm(g)
    trust = group["trust"] * w_norm / (g_norm + weight_decay * w_norm + group["eps"])
    return torch.where(w_norm > 0, trust, 1.0) * g.add(w, alpha=weight_decay)


BETA1 = 0.9
"""Decay of adam's and adamw's mean gradient, torch's own."""

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
    "lars": LARS,
}


def build_optimizer(
    network: EmbeddingNetwork,
    objective_parameters: Iterable[nn.Parameter],
    *,
    optimizer: str,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    beta2: float = 0.999,
    backbone_lr_ratio: float = 1.0,
) -> torch.optim.Optimizer:
    """The optimiser of this name, with torch's defaults but for what is given, and adam and adamw fused on a CPU.

    Its groups have a `name`: `head` (the first), `loss` (parameters of the objective, such as proxies, at the head's
    rate) and `backbone` (at `backbone_lr_ratio` of it). A last layer or backbone that is never trained is in none, and
    a part without other parameters has no group. AdamW decays no parameter of one dimension; these form a second group
    of the same name. LARS makes the exception itself.

    Args:
        network: what is trained.
        objective_parameters: what the loss trains besides.
        optimizer: one of `OPTIMIZERS`.
        lr: rate of the head, > 0.
        weight_decay: >= 0.
        momentum: in [0, 1); of sgd and lars.
        beta2: in [0, 1); of adam and adamw, whose beta1 is torch's .9.
        backbone_lr_ratio: rate of the backbone over that of the head, > 0.

    Raises:
        ValueError: unknown optimiser.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(unknown("optimizer", optimizer, OPTIMIZERS))
    groups: list[dict[str, Any]] = []
    for name, parameters in (
        ("head", [p for p in network.head.parameters() if p.requires_grad]),
        ("loss", objective_parameters),
        ("backbone", [p for p in network.backbone.parameters() if p.requires_grad]),
    ):
        rate = group_lr(name, lr, backbone_lr_ratio=backbone_lr_ratio)
        for part, decay in _by_decay(list(parameters), weight_decay, apart=optimizer == "adamw"):
            if part:
                groups.append({"name": name, "params": part, "lr": rate, "weight_decay": decay})
    settings: dict[str, Any] = {}
    if optimizer in ("sgd", "lars"):
        settings["momentum"] = momentum
    if optimizer in ("adam", "adamw"):
        settings["betas"] = (BETA1, beta2)
        # One pass over memory for each parameter in place of a dozen: a fifth to a half of the time of a step.
        settings["fused"] = True if all(p.device.type == "cpu" for group in groups for p in group["params"]) else None
    built = OPTIMIZERS[optimizer](groups, lr=lr, **settings)  # type: ignore[call-arg]
    if settings.get("fused"):
        built.register_step_pre_hook(_lay_out_gradients)
    return built


def _lay_out_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Give each gradient its parameter's strides, as a backward pass does by itself, but not whoever else sets one.

    torch's fused kernels of the CPU go through both in the order of memory, and update by wrong elements where the
    orders differ.
    """
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None and p.grad.stride() != p.stride():
                p.grad = torch.empty_like(p).copy_(p.grad)


def group_lr(name: str, lr: float, *, backbone_lr_ratio: float) -> float:
    """Rate of the group `name` when the head's is `lr`."""
    return lr * backbone_lr_ratio if name == "backbone" else lr


def _by_decay(
    parameters: list[nn.Parameter], weight_decay: float, *, apart: bool
) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters with the decay of each part; `apart`: those of one dimension have none."""
    if not apart or not weight_decay:
        return [(parameters, weight_decay)]
    weights = [p for p in parameters if p.ndim > 1]
    return [(weights, weight_decay), ([p for p in parameters if p.ndim <= 1], 0.0)]
