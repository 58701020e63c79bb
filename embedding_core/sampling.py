"""The order in which one epoch goes through its examples."""

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.faults import Faults, unknown

SAMPLERS = ("random", "pk")


def epoch_order(
    labels: Int64[Tensor, " n"], *, sampler: str, batch_size: int, images_per_class: int, generator: torch.Generator
) -> Int64[Tensor, " m"]:
    """Positions of one epoch's examples, batch after batch.

    `random` is a permutation of all. `pk` makes batches of P classes with k images each, class-mates side by side, so
    that micro-batches of a multiple of k hold whole classes. Every batch draws its P classes anew, uniformly, as the
    paper does; a class hands out all its images before it shuffles them again, and none twice in a batch. Classes with
    fewer than k images are never drawn. An epoch has n // k such groups whatever the batch size, so the last batch may
    hold fewer classes: runs that differ in it count the same images.

    Args:
        labels: class per example, on the CPU.
        sampler: one of `SAMPLERS`.
        batch_size: examples per batch, P k; for `pk`.
        images_per_class: k >= 1; for `pk`.
        generator: on the CPU.

    Raises:
        Faults: unknown sampler; k does not divide the batch; fewer than P classes have k images.

    Source: Hermans et al. 2017, arXiv 1703.07737, section 2.
    """
    if sampler == "random":
        return torch.randperm(len(labels), generator=generator)
    if sampler == "pk":
        return _classes_by_images(labels, batch_size, images_per_class, generator)
    raise Faults([unknown("sampler", sampler, SAMPLERS)])


def _classes_by_images(labels: Tensor, batch_size: int, k: int, generator: torch.Generator) -> Tensor:
    if k < 1 or batch_size % k:
        raise Faults([f"`batch_size` must be a multiple of `images_per_class` >= 1, but got {batch_size} and {k}."])
    P = batch_size // k
    _, ids, sizes = labels.unique(return_inverse=True, return_counts=True)
    members = ids.argsort(stable=True).split(sizes.tolist())
    eligible = torch.nonzero(sizes >= k)[:, 0]
    if len(eligible) < P:
        asked = f"a batch of {batch_size} with {k} images per class needs {P} classes"
        raise Faults([f"`pk`: {asked}, but only {len(eligible)} of {len(members)} have so many images."])
    groups = len(labels) // k
    batches = -(-groups // P)
    draws = [eligible[torch.randperm(len(eligible), generator=generator)[:P]] for _ in range(batches)]
    classes = torch.cat([eligible[:0], *draws])[:groups]
    order = torch.empty(groups, k, dtype=torch.int64)
    for drawn in classes.unique().tolist():
        turns = classes == drawn
        order[turns] = _shuffled_queue(members[drawn], int(turns.sum()) * k, k, generator).view(-1, k)
    return order.flatten()


def _shuffled_queue(members: Tensor, length: int, k: int, generator: torch.Generator) -> Tensor:
    """Permutation after permutation of `members`, `length` in all, no block of k with one of them twice."""
    queue = members[:0]
    while len(queue) < length:
        again = members[torch.randperm(len(members), generator=generator)]
        # The block that straddles the seam holds these already: to the end of the new permutation with them.
        held = torch.isin(again, queue[len(queue) - len(queue) % k :])
        queue = torch.cat([queue, again[~held], again[held]])
    return queue[:length]
