"""One optimiser step's gradient from several forward/backward passes, naive or exact.

A micro-batch weighs its rows over the batch's, uneven ones included.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from embedding_core.data.samplers import micro_batch_slices
from embedding_core.errors import unknown

Forward = Callable[[Tensor], Tensor]
"""Micro-batch of inputs [m, ...] -> embeddings [m, d] or [m, v, d]."""

LossOf = Callable[[Tensor, slice], Tensor]
"""Embeddings and the slice of the batch they belong to -> scalar loss."""


class StepReport(NamedTuple):
    """What one step did; tensors are detached and stay on their device."""

    loss: Tensor
    """Loss of the batch: weighted mean over micro-batches if naive."""
    embeddings: Tensor
    """[b, d] or [b, v, d], in batch order."""
    passes: int
    """Forward/backward passes with gradient."""
    mode: str
    """The way that was taken; with one pass the two are one."""


def accumulated_step(forward: Forward, inputs: Tensor, loss_of: LossOf, *, accum_steps: int, mode: str) -> StepReport:
    """Add the gradient of one optimiser step to `.grad`; does not step.

    Args:
        forward: network, or any function with parameters behind it. If it is a module, its running statistics move
            once per micro-batch in either mode.
        inputs: [b, ...], already augmented; b >= 1.
        loss_of: the loss; called per micro-batch if `naive`, once with all embeddings if `cached`.
        accum_steps: number of micro-batches, >= 1; at most b are made, all but the last of equal size.
        mode: `naive` (each loss sees one micro-batch) or `cached` (the loss sees all embeddings, exact).

    Raises:
        ValueError: unknown mode, empty batch, `accum_steps` below 1.

    Source of `cached`: Gao et al. 2021, arXiv 2101.06983.
    """
    if mode not in ("naive", "cached"):
        raise ValueError(unknown("accum_mode", mode, ("naive", "cached")))
    if accum_steps < 1 or not len(inputs):
        raise ValueError(f"`accum_steps` and the batch must be at least 1, but got {accum_steps=}, b={len(inputs)}.")
    parts = micro_batch_slices(len(inputs), accum_steps)
    if mode == "naive" or len(parts) == 1:
        return _naive(forward, inputs, loss_of, parts)._replace(mode=mode)
    return _cached(forward, inputs, loss_of, parts)


def _naive(forward: Forward, inputs: Tensor, loss_of: LossOf, parts: list[slice]) -> StepReport:
    total: Tensor | None = None
    embeddings = []
    for part in parts:
        z = forward(inputs[part])
        loss = loss_of(z, part) * (len(z) / len(inputs))
        loss.backward()
        total = loss.detach() if total is None else total + loss.detach()
        embeddings.append(z.detach())
    assert total is not None
    return StepReport(total, torch.cat(embeddings), len(parts), "naive")


def _cached(forward: Forward, inputs: Tensor, loss_of: LossOf, parts: list[slice]) -> StepReport:
    states, first_pass = [], []
    with torch.no_grad(), _frozen_running_statistics(forward):
        for part in parts:
            states.append(_rng_state(inputs.device))
            first_pass.append(forward(inputs[part]))
    z_all = torch.cat(first_pass).requires_grad_()
    loss = loss_of(z_all, slice(0, len(inputs)))
    loss.backward()  # also reaches parameters of the loss, such as proxies
    gradient = z_all.grad
    assert gradient is not None
    after = _rng_state(inputs.device)
    for part, state in zip(parts, states, strict=True):
        _set_rng_state(inputs.device, state)  # the same dropout masks as in the first pass
        z = forward(inputs[part])
        if z.requires_grad:  # not if only the loss has something to train
            z.backward(gradient[part])
    _set_rng_state(inputs.device, after)
    return StepReport(loss.detach(), z_all.detach(), len(parts), "cached")


def _rng_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_rng_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


@contextmanager
def _frozen_running_statistics(forward: Forward) -> Iterator[None]:
    """Batch statistics still normalise, but only the second pass moves the running ones."""
    modules = forward.modules() if isinstance(forward, nn.Module) else ()
    tracking = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
