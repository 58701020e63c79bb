"""What a `TrainConfig` of the right types may still not be: domains of single fields, and fields that must agree."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from embedding_core.errors import unknown
from embedding_core.plugins.builtin import BACKBONES, LOSSES

if TYPE_CHECKING:
    from embedding_core.config.train_config import TrainConfig

SIZES = ("batch_size", "accum_steps", "images_per_class", "koleo_top_k", "koleo_group_size")

AT_LEAST = {
    "image_size": 1, "subset": 1, "max_images_per_class": 2, "seen_classes": 2, "unseen_classes": 0,
    "images_per_class": 2, "augmentation_strength": 0, "crop_padding": 0, "head_layers": 1, "head_width": 1,
    "embedding_dim": 1, "koleo_top_k": 1, "koleo_group_size": 2, "batch_size": 1, "accum_steps": 1, "gap_every": 0,
    "weight_decay": 0, "warmup_epochs": 0, "freeze_epochs": 0, "feature_views": 0, "epochs": 1, "seed": 0,
    "split_seed": 0, "val_images": 3,
}  # fmt: skip
"""Smallest value of each field; None is told apart before."""

MARGIN_LOSSES = tuple(name for name, loss in LOSSES.builtin.items() if loss.is_margin_if_collapsed)
"""Losses that equal their margin where all embeddings are one; ArcFace's margin is an angle."""

POSITIVE = ("margin", "scale", "temperature", "lr", "unfrozen_lr", "backbone_lr_ratio")


def domain_faults(config: "TrainConfig", choices: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Every sentence that `config` deserves; `choices` by field, those of plug-ins aside."""
    choices = {**choices, "loss": tuple(LOSSES), "backbone": tuple(BACKBONES)}
    faults = [unknown(name, getattr(config, name), known) for name, known in choices.items()
              if getattr(config, name) not in known]  # fmt: skip
    faults += _number_faults(config)
    faults += _schedule_faults(config)
    faults += _feature_faults(config)
    faults += _pixel_faults(config)
    faults += _triplet_faults(config)
    if config.backbone in choices["backbone"]:
        faults += _network_faults(config)
    sizes = list(_size_faults(config))
    faults += sizes
    if not sizes:  # neighbourhoods and classes per batch follow from the sizes
        faults += _neighbourhood_faults(config)
    return faults


def sees_the_batch(loss: str) -> bool:
    """Whether the value of this loss depends on how many images it sees at once."""
    return loss in LOSSES and LOSSES[loss].sees == "batch"


def _number_faults(c: "TrainConfig") -> Iterator[str]:
    for name in AT_LEAST:
        if name not in SIZES:
            yield from _too_small(c, name)
    for name in POSITIVE:
        value = getattr(c, name)
        if value is not None and not 0 < value < math.inf:
            yield f"`{name}` must be positive and finite, but got {value}."
    for name in ("dropout", "momentum", "beta2"):
        if not 0 <= getattr(c, name) < 1:
            yield f"`{name}` must be in [0, 1), but got {getattr(c, name)}."
    if not 0 < c.val_share <= 0.5:
        yield f"`val_share` must be in (0, 0.5], but got {c.val_share}."
    if c.probes == 1 or c.probes < 0:
        yield f"`probes` must be 0 or at least 2, for an interval needs two draws, but got {c.probes}."
    if c.unseen_classes == 1:
        yield "`unseen_classes` must be 0 or at least 2, for one class cannot be told from another, but got 1."
    if c.loss == "arcface" and c.margin >= math.pi:
        yield f"`margin` must be below pi radians for arcface, but got {c.margin}."
    if c.koleo and not (c.koleo_weight is not None and 0 < c.koleo_weight < math.inf):
        yield f"`koleo_weight` must be positive and finite when `koleo` is on, but got {c.koleo_weight}."
    if not c.koleo and c.koleo_weight is not None:
        yield f"`koleo_weight` must be None when `koleo` is off, but got {c.koleo_weight}."


def _too_small(c: "TrainConfig", name: str) -> Iterator[str]:
    value = getattr(c, name)
    if value is not None and not AT_LEAST[name] <= value < math.inf:
        yield f"`{name}` must be at least {AT_LEAST[name]}, but got {value}."


def _size_faults(c: "TrainConfig") -> Iterator[str]:
    for name in SIZES:
        yield from _too_small(c, name)
    if c.accum_steps >= 1 and c.batch_size % c.accum_steps:
        yield (
            f"`batch_size` must be a multiple of `accum_steps`, but got batch_size={c.batch_size}, "
            f"accum_steps={c.accum_steps}."
        )


def _neighbourhood_faults(c: "TrainConfig") -> Iterator[str]:
    neighbourhood = c.views_per_example * (c.batch_size if c.accum_mode == "cached" else c.micro_batch)
    smallest = min(neighbourhood, c.koleo_group_size or neighbourhood)
    if c.koleo and smallest <= c.koleo_top_k:
        yield (
            f"KoLeo needs more than `koleo_top_k` embeddings in a neighbourhood, but got koleo_top_k={c.koleo_top_k} "
            f"and neighbourhoods of {smallest}."
        )
    examples = neighbourhood // c.views_per_example
    if sees_the_batch(c.loss) and examples < 2:
        yield f"loss={c.loss} compares examples, but each neighbourhood would hold {examples} of them."
    if c.batch_sampler == "pk":
        if c.views_per_example > 1:
            yield f"`batch_sampler` must be random for loss={c.loss}, whose examples are several images, but got pk."
        if c.micro_batch % c.images_per_class or examples < 2 * c.images_per_class:
            yield (
                "With batch_sampler=pk a neighbourhood holds two classes or more and a micro-batch whole classes: "
                "`images_per_class` must divide batch_size / accum_steps, but got "
                f"images_per_class={c.images_per_class}, batch_size={c.batch_size}, accum_steps={c.accum_steps}."
            )


def _network_faults(c: "TrainConfig") -> Iterator[str]:
    backbone = BACKBONES[c.backbone]
    has_none = backbone.norms == ("none",)
    if has_none and c.head == "linear" and c.norm_kind != "none":
        yield (
            f"`norm_kind` must be none for {c.backbone} with a linear head, which have no BatchNorm, but got "
            f"{c.norm_kind}."
        )
    if "none" not in backbone.norms and c.norm_kind == "none":
        yield f"`norm_kind` must be group or batch for {c.backbone}, but got none."
    if c.weights == "imagenet" and not backbone.has_published_weights:
        yield f"`weights` must be none or a file for {c.backbone}, which has no published weights, but got imagenet."
    elif c.weights == "imagenet" and c.norm_kind == "group" and not has_none:
        yield f"`norm_kind` must be batch with the published weights of {c.backbone}, but got group."
    if c.head in ("study2", "study3") and not backbone.has_maps:
        yield f"`head` must be linear or mlp for {c.backbone}, which has no feature map, but got {c.head}."
    has_parameters = c.loss in LOSSES and LOSSES[c.loss].has_parameters
    last_layer_alone = c.head == "linear" or (c.head == "study3" and c.norm_kind == "none")
    if c.freeze_epochs and last_layer_alone and not c.train_last_layer and not has_parameters:
        yield (
            f"With `train_last_layer` off and head {c.head} a frozen backbone leaves nothing to train: `freeze_epochs` "
            f"must be 0, but got {c.freeze_epochs}."
        )


def _triplet_faults(c: "TrainConfig") -> Iterator[str]:
    if c.triplets == "study" and c.views_per_example != 3:
        yield f"`triplets` must be disjoint for loss={c.loss}, which has no fixed triplets, but got study."
    if c.triplets == "study" and (c.unseen_classes or c.seen_classes):
        yield "`triplets` must be disjoint with seen and unseen classes, but got study."
    if c.triplets == "study" and c.val_by != "image":
        yield f"`triplets` must be disjoint with `val_by` {c.val_by}, but got study."
    if c.triplets == "study" and c.max_images_per_class is not None:
        yield "`triplets` must be disjoint with `max_images_per_class`, but got study."


def _feature_faults(c: "TrainConfig") -> Iterator[str]:
    """Features that are computed once are of fixed views."""
    if c.feature_views > 1 and not c.frozen_throughout:
        yield (
            f"`feature_views` above 1 is for a backbone that is never trained, but got {c.feature_views} with "
            f"freeze_epochs={c.freeze_epochs} of {c.epochs}."
        )
    if c.feature_views > 1 and c.augmentation == "none":
        yield f"`feature_views` must be 1 or 0 where augmentation=none makes all views one, but got {c.feature_views}."
    if not c.trains_on_features or c.feature_views > 1:
        return
    if c.views_per_example == 2:
        yield (
            f"loss={c.loss} compares two views of an image: with a backbone that is never trained `feature_views` must "
            "be at least 2 (computed once), or 0 (anew in every step), but got 1."
        )
    elif c.augmentation not in ("auto", "none") and c.unfrozen_lr is None:  # else it is not meant to be frozen for ever
        yield (
            f"augmentation={c.augmentation} has no effect on a backbone that is never trained where `feature_views` "
            "is 1 (images as they are): take augmentation=none, or `feature_views` of 2 or more (computed once), or 0 "
            "(anew in every step)."
        )


def _pixel_faults(c: "TrainConfig") -> Iterator[str]:
    """What is done to pixels alone."""
    if c.trains_on_features and c.feature_views == 1:
        for name in ("flip", "crop_padding"):
            if getattr(c, name):
                yield (
                    f"`{name}` has no effect on features of images as they are: with a backbone that is never trained "
                    f"and `feature_views` 1 it must be none, but got {getattr(c, name)}."
                )


def _schedule_faults(c: "TrainConfig") -> Iterator[str]:
    first_phase = min(c.freeze_epochs or c.epochs, c.epochs)
    if c.unfrozen_lr is not None and not 0 < c.freeze_epochs < c.epochs:
        yield (
            "`unfrozen_lr` needs epochs before and after the unfreezing, but got "
            f"freeze_epochs={c.freeze_epochs} of {c.epochs}: change one of them, or take unfrozen_lr=none."
        )
    if c.warmup_epochs and c.warmup_epochs >= first_phase:
        yield (
            f"`warmup_epochs` must leave one of the first {first_phase} epochs to the schedule, but got "
            f"{c.warmup_epochs}."
        )
    if c.schedule == "one_cycle" and c.warmup_epochs:
        yield f"`warmup_epochs` must be 0 with one_cycle, which warms up by itself, but got {c.warmup_epochs}."
