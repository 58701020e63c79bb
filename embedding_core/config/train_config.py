"""One run as a flat, frozen, validated value. Standard library only, so that the result store can import it."""

import hashlib
import json
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any

from embedding_core.config.plugin_fields import completed
from embedding_core.config.rules import domain_faults, sees_the_batch
from embedding_core.errors import Faults
from embedding_core.plugins import builtin
from embedding_core.plugins.declarations import Value

DATASETS = tuple(builtin.DATASETS.builtin)
"""Sets with a loader of their own, plug-ins aside; besides `folder:PATH`, any other name is a folder
`<data_root>/<name>` of Parquet files."""

LOSSES = tuple(builtin.LOSSES.builtin)
"""Plug-ins aside."""

CHOICES: dict[str, tuple[str, ...]] = {
    "val_by": ("image", "class"),
    "duplicates": ("refuse", "drop", "keep"),
    "triplets": ("disjoint", "study"),
    "batch_sampler": ("random", "pk"),
    "augmentation": ("auto", "none", "crop", "affine", "simclr", "study4_weak", "study4_strong"),
    "backbone": tuple(builtin.BACKBONES.builtin),
    "norm_kind": ("group", "batch", "none"),
    "input_scaling": ("native", "imagenet"),
    "head": ("linear", "mlp", "study2", "study3"),
    "loss": LOSSES,
    "mining": (
        "easy/semihard", "easy/hard", "hard/semihard", "hard/hard", "all/all", "random", "curriculum",
    ),
    "distance": ("cosine", "l2", "sql2"),
    "similarity": ("cosine", "dot"),
    "accum_mode": ("naive", "cached"),
    "optimizer": ("adam", "adamw", "rmsprop", "sgd", "lars"),
    "schedule": ("constant", "cosine", "anneal", "one_cycle"),
    "precision": ("auto", "float32", "tf32", "bf16"),
    "views": ("none", "pca", "all"),
    "held_out_layer": ("embedding", "backbone"),
    "fallback": ("farthest", "nearest"),
}  # fmt: skip
"""Names of everything that has names, plug-ins aside."""


def views_per_example(loss: str) -> int:
    """Images that one training example of this loss consists of: 3 of a triplet, 2 of two views, else 1."""
    return builtin.LOSSES[loss].views if loss in builtin.LOSSES else 1


MEASURES = ("val_auc", "val_recall_at_1", "val_map_at_r", "val_knn_accuracy")
"""Columns of an epoch's row that settings may be chosen by; higher is better."""

SAVE_EVERY_S = 60.0
"""Seconds between two checkpoints of a run, unless something else is asked for: what a killed process loses at most,
beside the epoch it was in. It changes no row, and so is no field."""

NOT_HASHED = ("data_root",)
"""Where the data lie says nothing about what is computed; the split hashes identify the data."""

NEWER = {"duplicates": "refuse", "plugin_sha256": None, "skip_broken": False}
"""Fields that earlier versions had not, at the value that computes what these did: it is left out of hashes, so that
sweeps of theirs go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One run, fully determined: same config, same machine, same thread count, same rows (bit for bit on a CPU)."""

    dataset: str = "digits"
    """One of `DATASETS`, `folder:PATH`, a folder of Parquet files under `data_root`, or a plug-in's."""

    data_root: str | None = None
    """Folder that holds the data sets; None: $EMBED_DATA_ROOT, else `data`."""

    image_size: int | None = None
    """Side in pixels that every image is fitted into, once, in the cache; None: as they are (64 where sizes differ)."""

    subset: int | None = None
    """Training examples (triplets for the triplet loss, images for the others), a seeded draw; None: all."""

    duplicates: str = "refuse"
    """What to do with images whose pixels are those of another. `refuse`: end before the first step if more than one
    in a thousand of the test or validation images is trained on as well. `drop`: leave copies of test images, and all
    but one of the others, out of training and validation. `keep`: train as it is. Counted in any case."""

    skip_broken: bool = False
    """Whether images that cannot be decoded are left out, and named; otherwise a data set that has any is refused."""

    val_share: float = 0.2
    """Share of each class's images held out for validation, or of the classes (see `val_by`); in (0, .5]."""

    val_by: str = "image"
    """`image`: every class gives its share of images. `class`: `val_share` of the classes, two at least, are held out
    whole, a draw by `split_seed`; where test images are of other classes than training images, this is their like."""

    val_images: int = 2500
    """Most validation images, a draw by `split_seed` in which classes keep their shares; at least 3. The rest of what
    `val_share` holds out is not used at all, so that the training images do not depend on it. `triplets=study` has its
    own."""

    max_images_per_class: int | None = None
    """Most images of a class that training and validation share, a seeded draw; None: all. At least 2. Images without a
    label (`nt_xent`) are of no class."""

    seen_classes: int | None = None
    """Classes trained on (with `val_by=class`: or validated with); None: all that are not unseen."""

    unseen_classes: int = 0
    """Classes kept out of training, validation and the test split, and evaluated apart."""

    triplets: str = "disjoint"
    """`disjoint`: no image in both splits. `study`: study 1's fixed triplets, which leak (for comparison)."""

    batch_sampler: str = "random"
    """`random`, or `pk`: P classes with k images each in every batch (losses on single images)."""

    images_per_class: int = 4
    """k of the `pk` sampler; divides the micro-batch."""

    augmentation: str = "auto"
    """`none`, `crop` (padded crop and flip), `affine` (rotation, zoom, light), `simclr`, `study4_weak`,
    `study4_strong`, or `auto` (`simclr` for nt_xent, else `crop`)."""

    augmentation_strength: float = 1.0
    """Factor of the colour jitter; >= 0."""

    crop_padding: int | None = None
    """Pixels of zero padding around the random crop; None: one eighth of the side (4 at 32, 1 at 8)."""

    flip: bool | None = None
    """Random horizontal flip; None: what suits the data set (not digits)."""

    backbone: str = "small_cnn"
    """`small_cnn` (four convolution blocks), `efficientnet_lite0`, a torchvision network, or a plug-in's."""

    weights: str = "none"
    """`none`, `imagenet` or the path of a saved state dict. `imagenet` are torchvision's, fetched once; those of
    `efficientnet_lite0` are an installed package (the extra `offline-weights`)."""

    norm_kind: str = "group"
    """Normalisation of backbone and head: `group`, `batch` or `none`; vgg11, alexnet and vit_tiny have none."""

    input_scaling: str = "native"
    """Pixel mean and deviation: `native` (of the training images) or `imagenet` (what the published weights of the
    backbone expect: 127 and 128 of 255 for `efficientnet_lite0`, else ImageNet's own)."""

    head: str = "linear"
    """`linear`, `mlp` (projection head), or the heads of `study2` (convolutions) and `study3` (concatenated pools)."""

    head_layers: int = 1
    """Hidden layers of the `mlp` head; >= 1."""

    head_width: int | None = None
    """Width of the hidden layers; None: the backbone's."""

    dropout: float = 0.0
    """Share of features dropped before the last linear layer; in [0, 1)."""

    embedding_dim: int = 64
    """Length of the embedding (of unit norm, but see `similarity`)."""

    train_last_layer: bool = True
    """Whether the head's last linear layer is trained; otherwise it stays as it was drawn (study 3, by mistake)."""

    loss: str = "triplet"
    """`triplet` (fixed triplets), `mined` (triplets mined in the batch), `semihard`, `arcface`, `softmax` (control),
    `nt_xent` (SimCLR), or a plug-in's."""

    mining: str = "easy/semihard"
    """`mined` only: positive/negative of each anchor, `all/all`, `random`, or study 2's `curriculum`."""

    margin: float = 0.4
    """Margin of a triplet loss in units of `distance`, of `arcface` in radians; > 0."""

    distance: str = "cosine"
    """`cosine` (1 - cos), `l2` or `sql2`."""

    fallback: str = "farthest"
    """`semihard` only: the negative where none is farther than the positive, `farthest` (TF-Addons) or `nearest`."""

    scale: float = 64.0
    """ArcFace's s; > 0."""

    temperature: float = 0.5
    """NT-Xent's tau; > 0."""

    similarity: str = "cosine"
    """NT-Xent's: `cosine`, or `dot` product of embeddings whose length is left as it is (in training alone)."""

    koleo: bool = False
    """Whether the KoLeo regulariser is added."""

    koleo_weight: float | None = None
    """Weight of KoLeo; > 0 when on, None when off."""

    koleo_top_k: int = 1
    """Nearest neighbours that KoLeo looks at."""

    koleo_group_size: int | None = None
    """Consecutive embeddings in which KoLeo looks for neighbours; None: the whole neighbourhood."""

    koleo_exclude_same_class: bool = False
    """Whether KoLeo's neighbours must be of another class."""

    batch_size: int = 64
    """Examples (images or triplets) per optimiser step (B)."""

    accum_steps: int = 1
    """Forward/backward passes per optimiser step (K); divides `batch_size`."""

    accum_mode: str = "naive"
    """`naive`: loss per micro-batch. `cached`: exact, loss over all B in two passes."""

    gap_every: int = 10
    """Optimiser steps from one reading of the gap meter to the next (K > 1 only); 0: never."""

    optimizer: str = "adam"
    """`adam`, `adamw`, `rmsprop`, `sgd` or `lars`."""

    lr: float = 5e-4
    """Learning rate of the head, and of the backbone unless `backbone_lr_ratio` says otherwise; > 0."""

    weight_decay: float = 0.0
    """Of the weights; adamw and lars leave biases and normalisation out. >= 0."""

    momentum: float = 0.9
    """Of sgd and lars; in [0, 1)."""

    beta2: float = 0.999
    """Decay of adam's and adamw's mean of squared gradients, per optimiser step; in [0, 1)."""

    schedule: str = "constant"
    """`constant`, `cosine` (to 0), `anneal` (lr (1 + 10 p)^-.75, study 4) or `one_cycle`."""

    warmup_epochs: int = 0
    """Epochs of linear warm-up before the schedule; part of `epochs`."""

    freeze_epochs: int = 0
    """First epochs in which the backbone is frozen; `epochs` or more: it is never trained."""

    feature_views: int = 1
    """Of a backbone that is never trained, how its features are had. 1: computed once per machine, of the images as
    they are. V > 1: computed once, of V augmented views of each image, of which every use draws one. 0: the backbone
    is run in every step, on images augmented anew."""

    unfrozen_lr: float | None = None
    """`lr` once the backbone is trained; None: unchanged."""

    backbone_lr_ratio: float = 1.0
    """Learning rate of the backbone over that of the head; > 0."""

    epochs: int = 5
    """Passes over the training examples; one row each."""

    seed: int = 0
    """Seed of the block: initialisation, data order, augmentation and miner streams derive from it."""

    split_seed: int | None = None
    """Seed of what is the same for all runs that share a split: which images train and validate, triplets, order and
    views of the validation loss; None: `seed`."""

    eval_test: bool = False
    """Read the test split once, after the last epoch (stage `confirm` only)."""

    held_out_layer: str = "embedding"
    """What held-out images are judged by: the `embedding`, or the `backbone`'s features (SimCLR drops its head)."""

    classifiers: bool = False
    """With `eval_test`: a linear SVM and kNN fitted on all training embeddings, tested on the test split."""

    probes: int = 0
    """Draws of the probes (SVC, linear, kNN over label budgets) on held-out embeddings with `eval_test`; 0: none."""

    views: str = "none"
    """Views of the test embeddings made with `eval_test`: `none`, `pca` (and all but projections) or `all` (UMAP and
    t-SNE too)."""

    stop_if_collapsed: bool = False
    """End a run whose embeddings have collapsed (stage `search` only); otherwise it is only labelled."""

    device: str = "auto"
    """`auto` (CUDA if there is one) or a torch device."""

    precision: str = "auto"
    """Of the backbone: `float32`, `bf16`, or `auto` (bf16 on CUDA, float32 elsewhere); losses and metrics are float32.
    `tf32` (CUDA alone) is of the whole run: all convolutions and matrix products, those in losses and metrics too."""

    compile: bool = False
    """Whether the network is passed through `torch.compile`."""

    plugin_sha256: str | None = None
    """Of the plug-ins that loss, backbone and data set are from, filled in: `loss.NAME:SHA256`, a space between two.
    None: all are built in. Given, it must be that of the plug-ins at hand."""

    of_plugins: tuple[tuple[str, Value], ...] = ()
    """Fields of these plug-ins and their values, such as `loss.alpha`; flat, each is a field like any other."""

    def __post_init__(self) -> None:
        faults = _type_faults(self)
        if not faults:
            parts = {"loss": self.loss, "backbone": self.backbone, "dataset": self.dataset}
            own, sha256, faults = completed(parts, dict(self.of_plugins), self.plugin_sha256, known=_own_types())
            object.__setattr__(self, "of_plugins", tuple(sorted(own.items())))
            object.__setattr__(self, "plugin_sha256", sha256)
            faults += domain_faults(self, CHOICES)
        if faults:
            raise Faults(faults)

    @classmethod
    def from_flat(cls, values: dict[str, Any]) -> "TrainConfig":
        """Build from a flat dict such as Ray's config; every fault is reported at once.

        Raises:
            Faults: unknown keys (with the nearest known one), wrong types, impossible values.
        """
        known = _own_types()
        others = tuple((key, value) for key, value in values.items() if key not in known)
        return cls(**{key: value for key, value in values.items() if key in known}, of_plugins=others)

    @classmethod
    def observed(cls, values: dict[str, Any]) -> "TrainConfig":
        """What was seen to run, impossible or not: a stale object must be recorded, not refused."""
        config = object.__new__(cls)
        for name in _own_types():
            object.__setattr__(config, name, values[name])
        others = sorted((name, value) for name, value in values.items() if name not in _own_types())
        object.__setattr__(config, "of_plugins", tuple(others))
        return config

    @property
    def seed_of_split(self) -> int:
        """`split_seed`, or the block's."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def frozen_throughout(self) -> bool:
        """Whether the backbone is never trained."""
        return self.freeze_epochs >= self.epochs

    @property
    def trains_on_features(self) -> bool:
        """Whether the backbone's features are computed once, ahead of training."""
        return self.frozen_throughout and self.feature_views > 0

    @property
    def views_per_example(self) -> int:
        """Images per example (v): anchor, positive and negative; two views of one image; or one image."""
        return views_per_example(self.loss)

    @property
    def trains_on_unit_length(self) -> bool:
        """Whether the loss gets embeddings of unit length."""
        return self.loss != "nt_xent" or self.similarity != "dot"

    @property
    def micro_batch(self) -> int:
        """Examples per forward pass (m = B / K)."""
        return self.batch_size // self.accum_steps

    @property
    def depends_on_accum_steps(self) -> bool:
        """Whether K changes more than rounding: a loss or BatchNorm sees the micro-batch instead of the batch."""
        coupled = self.koleo or sees_the_batch(self.loss)
        # A frozen backbone's BatchNorm does not look at the batch, and a linear head has none.
        normalised = self.norm_kind == "batch" and not (self.frozen_throughout and self.head == "linear")
        return normalised or (self.accum_mode == "naive" and coupled)

    def to_flat(self) -> dict[str, Any]:
        """Fields by name, those of plug-ins among them: the inverse of `from_flat`."""
        return {name: getattr(self, name) for name in _own_types()} | dict(self.of_plugins)

    def to_json(self) -> str:
        """Canonical JSON of what determines the rows (every field but `data_root`)."""
        hashed = {k: v for k, v in self.to_flat().items() if k not in NOT_HASHED and NEWER.get(k, ()) != v}
        return json.dumps(hashed, sort_keys=True)

    @property
    def sha256(self) -> str:
        """Hash of `to_json`; equal hashes mean equal rows on one machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def field_types(cls: type) -> dict[str, tuple[type, ...]]:
    """Allowed types of each field, `X | None` unpacked: the one source for parsing and for Parquet columns.

    Plug-ins declare the types of their own.
    """
    hints = typing.get_type_hints(cls)
    unions = (types.UnionType, typing.Union)
    return {
        name: typing.get_args(hint) if typing.get_origin(hint) in unions else (hint,)
        for name, hint in hints.items()
        if name != "of_plugins"
    }


@cache
def _own_types() -> dict[str, tuple[type, ...]]:
    return field_types(TrainConfig)


def _type_faults(config: TrainConfig) -> list[str]:
    faults = []
    for name, allowed in _own_types().items():
        value = getattr(config, name)
        if float in allowed and type(value) is int:
            object.__setattr__(config, name, float(value))
        elif type(value) not in allowed:
            expected = " or ".join("None" if t is types.NoneType else t.__name__ for t in allowed)
            faults.append(f"`{name}` must be {expected}, but got {value!r}.")
    return faults
