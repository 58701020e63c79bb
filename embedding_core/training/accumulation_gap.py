"""The gap meter: what naive accumulation would lose, read off embeddings that are at hand; no network pass."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.data.samplers import micro_batch_slices
from embedding_core.metrics.distances import at_least_float32
from embedding_core.metrics.neighbours import nearest_neighbours
from embedding_core.training.accumulation import LossOf


class AccumulationGap(NamedTuple):
    """Naive accumulation against the full batch on the same embeddings; scalars on their device."""

    nn_agreement: Float[Tensor, ""]
    """Share of nearest neighbours in the batch that lie in the same micro-batch."""
    micro_full_grad_cos: Float[Tensor, ""]
    """Cosine of the two gradients with respect to the embeddings; 1 if both vanish, 0 if one does."""
    micro_full_grad_norm_ratio: Float[Tensor, ""]
    """Length of the naive gradient over the full one; 1 if both vanish, 0 if the full one does."""
    micro_full_loss_diff: Float[Tensor, ""]
    """Naive loss minus full loss."""


def measure_gap(z: Float[Tensor, "b *views d"], loss_of: LossOf, *, accum_steps: int) -> AccumulationGap:
    """Compare the loss of whole batches with the weighted losses of `accum_steps` micro-batches.

    Costs two losses with their gradients and a neighbour search: O(b² d) time, no network pass.

    Args:
        z: embeddings of a batch, b >= 2.
        loss_of: as in `accumulated_step`; called 1 + `accum_steps` times, so it must not count anything.
        accum_steps: micro-batches, as in `accumulated_step`.
    """
    z = z.detach().requires_grad_()
    parts = micro_batch_slices(len(z), accum_steps)
    full = loss_of(z, slice(0, len(z)))
    naive = torch.stack([loss_of(z[part], part) * (len(z[part]) / len(z)) for part in parts]).sum()
    (full_gradient,) = torch.autograd.grad(full, z)
    (naive_gradient,) = torch.autograd.grad(naive, z)
    full_gradient, naive_gradient = full_gradient.flatten(), naive_gradient.flatten()
    full_norm, naive_norm = full_gradient.norm(), naive_gradient.norm()
    both_vanish = ((full_norm == 0) & (naive_norm == 0)).to(z.dtype)  # every hinge satisfied: nothing is lost
    return AccumulationGap(
        nn_agreement(z.detach().flatten(0, -2), micro_batch=parts[0].stop * (z[0].numel() // z.shape[-1])),
        F.cosine_similarity(full_gradient, naive_gradient, dim=0) + both_vanish,
        torch.where(full_norm > 0, naive_norm / full_norm, both_vanish),
        (naive - full).detach(),
    )


@torch.no_grad()
def nn_agreement(z: Float[Tensor, "n d"], *, micro_batch: int) -> Float[Tensor, ""]:
    """Share of rows whose nearest neighbour (cosine, self excluded) lies among the same `micro_batch` consecutive rows.

    For random rows its mean is (micro_batch - 1) / (n - 1).
    """
    neighbour = nearest_neighbours(F.normalize(at_least_float32(z), dim=1))[:, 0]
    row: Int[Tensor, " n"] = torch.arange(len(z), device=z.device)
    return (neighbour // micro_batch == row // micro_batch).float().mean()
