"""The order in which one epoch goes through its examples."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.class_groups import by_class
from embedding_core.data.splits import Split
from embedding_core.errors import Faults, unknown
from embedding_core.seeding import generator
from embedding_core.wording import plural

SAMPLERS = ("random", "pk")


def order_of(config: TrainConfig, split: Split, epoch: int) -> Int64[Tensor, " m"]:
    """Positions in `split.train_examples` of one epoch (0-based), batch after batch; on the CPU.

    Raises:
        Faults: see `epoch_order`.
    """
    return epoch_order(
        split.example_labels,
        sampler=config.batch_sampler,
        batch_size=config.batch_size,
        images_per_class=config.images_per_class,
        generator=generator(config.seed, "order", epoch),
    )


def images_per_epoch(config: TrainConfig, split: Split) -> int:
    """Images forwarded in one epoch, counted once in either `accum_mode`."""
    examples = len(split.train_examples)
    if config.batch_sampler == "pk":
        examples -= examples % config.images_per_class
    return config.views_per_example * examples


def batch_faults(config: TrainConfig, split: Split) -> list[str]:
    """Why these examples cannot be cut into batches as `config` asks; found before the first step."""
    examples = len(split.train_examples)
    if examples < config.batch_size:
        fitting = fitting_batch(config, examples)
        remedy = f": batch_size={fitting} fits" if fitting else ""
        return [f"`batch_size` must be at most the {_training(config, examples)}, but got {config.batch_size}{remedy}."]
    faults = []
    last = images_per_epoch(config, split) // config.views_per_example % config.batch_size or config.batch_size
    smallest = micro_batch_slices(last, math.ceil(last / config.micro_batch))[-1]
    if config.norm_kind == "batch" and (smallest.stop - smallest.start) * config.views_per_example == 1:
        faults.append(
            f"BatchNorm needs two images in each micro-batch, but with {examples} training examples, "
            f"batch_size={config.batch_size} and accum_steps={config.accum_steps} the last has one: change one of "
            "these (`subset` sets the examples), or take norm_kind=group."
        )
    try:
        order = order_of(config, split, 0)
    except Faults as error:
        return [*faults, *error.faults]
    if config.loss in ("mined", "semihard"):
        faults += _pair_faults(config, split.example_labels[order])
    return faults


def fitting_batch(config: TrainConfig, examples: int) -> int | None:
    """The largest power of two times what `config` cuts a batch into that `examples` fill twice; None: none is."""
    step = config.accum_steps * (config.images_per_class if config.batch_sampler == "pk" else 1)
    smallest = max(step, config.accum_steps * (config.koleo_top_k + 1 if config.koleo else 2))
    fitting = [step << i for i in range(20) if smallest <= step << i <= max(examples // 2, smallest)]
    return fitting[-1] if fitting and fitting[-1] <= examples else None


def fitted_batch(config: TrainConfig, split: Split) -> tuple[TrainConfig, str]:
    """`config` with a batch size that its examples fill, and the sentence about it; as it is and empty if they do."""
    examples = len(split.train_examples)
    size = fitting_batch(config, examples)
    if examples >= config.batch_size or size is None:
        return config, ""
    return replace(config, batch_size=size), batch_told(config, size, config.batch_size, examples)


def batch_told(config: TrainConfig, size: int, declared: int, examples: int) -> str:
    """A sentence about a batch `size` that was guessed, as the `declared` one is more than `examples`."""
    there = _training(config, examples)
    return f"{size}, as the declared {declared} is more than the {there}: a guess, as no batch size was given"


def _training(config: TrainConfig, examples: int) -> str:
    return plural(examples, "training triplet" if config.views_per_example == 3 else "training image")


def _pair_faults(config: TrainConfig, labels: Int64[Tensor, " m"]) -> Iterator[str]:
    """Why no batch of the first epoch can give a gradient: a triplet takes two images of a class and one of another."""
    # KoLeo learns from any micro-batch, so beside it batches are judged whole.
    in_parts = config.accum_mode == "naive" and not config.koleo
    seen = config.micro_batch if in_parts else config.batch_size
    what = "micro-batch" if in_parts and config.accum_steps > 1 else "batch"
    remedy = f"batch_size={config.accum_steps * 4} or more" if seen < 3 else "batch_sampler=pk or a larger batch_size"
    fewer = ", or fewer accum_steps" if what == "micro-batch" else ""
    parts = labels.split(seen)
    if not any(len(classes := part.unique()) > 1 and len(classes) < len(part) for part in parts):
        yield (
            f"loss={config.loss} learns from two images of one class beside one of another, but of the "
            f"{plural(len(parts), what)} of {plural(seen, 'image')} in the first epoch none holds that "
            f"({plural(len(labels), 'image')} of {plural(len(labels.unique()), 'class')}): take {remedy}{fewer}."
        )


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
    drawn = by_class(classes, torch.arange(groups))
    for one, turns in zip(drawn.labels.tolist(), drawn.each(), strict=True):
        order[turns] = _shuffled_queue(members[one], len(turns) * k, k, generator).view(-1, k)
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


def micro_batch_slices(b: int, accum_steps: int) -> list[slice]:
    """Rows of each micro-batch of b examples: at most `accum_steps` of them, all but the last of equal size."""
    m = -(-b // accum_steps)
    return [slice(start, min(start + m, b)) for start in range(0, b, m)]
