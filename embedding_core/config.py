"""One run as a flat, frozen, validated value. Standard library only, so that the result store can import it."""

import hashlib
import json
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from embedding_core.faults import Faults, unknown

BACKBONES = ("small_cnn", "vgg11")
DATASETS = ("digits", "cifar10")
"""Sets with a loader of their own; any other name is a folder `<data_root>/<name>` of Parquet files."""

CHOICES: dict[str, tuple[str, ...]] = {
    "triplets": ("disjoint", "study"),
    "backbone": BACKBONES,
    "norm_kind": ("group", "batch", "none"),
    "loss": ("triplet",),
    "distance": ("cosine", "l2", "sql2"),
    "accum_mode": ("naive", "cached"),
    "optimizer": ("adam", "rmsprop"),
    "precision": ("auto", "float32", "bf16"),
}

NOT_HASHED = ("data_root",)
"""Where the data lie says nothing about what is computed; the split hashes identify the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One run, fully determined: same config, same machine, same thread count, same rows (bit for bit on a CPU)."""

    dataset: str = "digits"
    """`digits`, `cifar10`, or a folder of Parquet files under `data_root`."""

    data_root: str | None = None
    """Folder that holds the data sets; None: $EMBED_DATA_ROOT, else `data`."""

    subset: int | None = None
    """Training examples (triplets for the triplet loss), a seeded draw; None: all."""

    val_share: float = 0.2
    """Share of the training images held out for validation, per class; in (0, .5]."""

    triplets: str = "disjoint"
    """`disjoint`: no image in both splits. `study`: study 1's fixed triplets, which leak (for comparison)."""

    crop_padding: int | None = None
    """Pixels of zero padding around the random crop; None: one eighth of the side (4 at 32, 1 at 8)."""

    flip: bool | None = None
    """Random horizontal flip; None: what suits the data set (not digits)."""

    backbone: str = "small_cnn"
    """`small_cnn` (three convolution blocks) or `vgg11` (torchvision, no BatchNorm)."""

    weights: str = "none"
    """`none`, `imagenet` (torchvision's, fetched once) or the path of a saved state dict."""

    norm_kind: str = "group"
    """Normalisation in `small_cnn`: `group`, `batch` or `none`. `vgg11` has none."""

    embedding_dim: int = 64
    """Length of the (unit-norm) embedding."""

    loss: str = "triplet"
    """Base loss."""

    margin: float = 0.4
    """Hinge margin, in units of `distance`; > 0."""

    distance: str = "cosine"
    """`cosine` (1 - cos), `l2` or `sql2`."""

    koleo: bool = False
    """Whether the KoLeo regulariser is added."""

    koleo_weight: float | None = None
    """Weight of KoLeo; > 0 when on, None when off."""

    batch_size: int = 64
    """Examples (images or triplets) per optimiser step (B)."""

    accum_steps: int = 1
    """Forward/backward passes per optimiser step (K); divides `batch_size`."""

    accum_mode: str = "naive"
    """`naive`: loss per micro-batch. `cached`: exact, loss over all B in two passes."""

    optimizer: str = "adam"
    """`adam` or `rmsprop`."""

    lr: float = 5e-4
    """Learning rate; > 0."""

    epochs: int = 5
    """Passes over the training examples; one row each."""

    seed: int = 0
    """Seed of the block: initialisation, data order, augmentation and split streams derive from it."""

    eval_test: bool = False
    """Read the test split once, after the last epoch (stage `confirm` only)."""

    stop_if_collapsed: bool = False
    """End a run whose embeddings have collapsed (stage `search` only); otherwise it is only labelled."""

    device: str = "auto"
    """`auto` (CUDA if there is one) or a torch device."""

    precision: str = "auto"
    """Of the backbone: `float32`, `bf16`, or `auto` (bf16 on CUDA, float32 elsewhere). Losses are float32."""

    compile: bool = False
    """Whether the network is passed through `torch.compile`."""

    def __post_init__(self) -> None:
        faults = _type_faults(self) or _domain_faults(self)
        if faults:
            raise Faults(faults)

    @classmethod
    def from_flat(cls, values: dict[str, Any]) -> "TrainConfig":
        """Build from a flat dict such as Ray's config; every fault is reported at once.

        Raises:
            Faults: unknown keys (with the nearest known one), wrong types, impossible values.
        """
        known = [field.name for field in fields(cls)]
        faults = [unknown("key", key, known) for key in values if key not in known]
        try:
            config = cls(**{key: value for key, value in values.items() if key in known})
        except Faults as error:
            raise Faults([*faults, *error.faults]) from None
        if faults:
            raise Faults(faults)
        return config

    @property
    def micro_batch(self) -> int:
        """Examples per forward pass (m = B / K)."""
        return self.batch_size // self.accum_steps

    def to_flat(self) -> dict[str, Any]:
        """Fields by name, the inverse of `from_flat`."""
        return asdict(self)

    def to_json(self) -> str:
        """Canonical JSON of what determines the rows (every field but `data_root`)."""
        return json.dumps({k: v for k, v in asdict(self).items() if k not in NOT_HASHED}, sort_keys=True)

    @property
    def sha256(self) -> str:
        """Hash of `to_json`; equal hashes mean equal rows on one machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def field_types(cls: type) -> dict[str, tuple[type, ...]]:
    """Allowed types of each field, `X | None` unpacked: the one source for parsing and for Parquet columns."""
    hints = typing.get_type_hints(cls)
    unions = (types.UnionType, typing.Union)
    return {
        name: typing.get_args(hint) if typing.get_origin(hint) in unions else (hint,) for name, hint in hints.items()
    }


def parse_value(name: str, text: str) -> Any:
    """Value of the `TrainConfig` field `name` from command-line text (`none` where the field allows it).

    Raises:
        Faults: unknown field, or text that is not of the field's type.
    """
    known = field_types(TrainConfig)
    if name not in known:
        raise Faults([unknown("key", name, known)])
    allowed = known[name]
    if types.NoneType in allowed and text.lower() == "none":
        return None
    kind = next(t for t in allowed if t is not types.NoneType)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise Faults([f"`{name}` must be true or false, but got `{text}`."])
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise Faults([f"`{name}` must be {kind.__name__}, but got `{text}`."]) from None


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`TrainConfig` fields from texts `key=value`.

    Raises:
        Faults: no `=`, unknown fields, texts not of their field's type; all of them.
    """
    values, faults = {}, []
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            faults.append(f"A setting must be key=value, but got `{setting}`.")
            continue
        try:
            values[name] = parse_value(name, text)
        except Faults as error:
            faults += error.faults
    if faults:
        raise Faults(faults)
    return values


def _type_faults(config: TrainConfig) -> list[str]:
    faults = []
    for name, allowed in field_types(TrainConfig).items():
        value = getattr(config, name)
        if float in allowed and type(value) is int:
            object.__setattr__(config, name, float(value))
        elif type(value) not in allowed:
            expected = " or ".join("None" if t is types.NoneType else t.__name__ for t in allowed)
            faults.append(f"`{name}` must be {expected}, but got {value!r}.")
    return faults


def _domain_faults(c: TrainConfig) -> list[str]:
    faults = [
        unknown(name, getattr(c, name), choices) for name, choices in CHOICES.items() if getattr(c, name) not in choices
    ]
    for name in ("embedding_dim", "batch_size", "accum_steps", "epochs", "subset"):
        value = getattr(c, name)
        if value is not None and value < 1:
            faults.append(f"`{name}` must be at least 1, but got {value}.")
    for name in ("margin", "lr"):
        value = getattr(c, name)
        if not (value > 0 and math.isfinite(value)):
            faults.append(f"`{name}` must be positive and finite, but got {value}.")
    if c.accum_steps >= 1 and c.batch_size % c.accum_steps:
        faults.append(
            f"`batch_size` must be a multiple of `accum_steps`, but got batch_size={c.batch_size}, "
            f"accum_steps={c.accum_steps}."
        )
    if c.backbone == "vgg11" and c.norm_kind != "none":
        faults.append(f"`norm_kind` must be none for vgg11, which has no normalisation, but got {c.norm_kind}.")
    if c.backbone != "vgg11" and c.weights != "none":
        faults.append(f"`weights` must be none for {c.backbone}, which has no published weights, but got {c.weights}.")
    if not 0 < c.val_share <= 0.5:
        faults.append(f"`val_share` must be in (0, 0.5], but got {c.val_share}.")
    if c.crop_padding is not None and c.crop_padding < 0:
        faults.append(f"`crop_padding` must not be negative, but got {c.crop_padding}.")
    if c.seed < 0:
        faults.append(f"`seed` must not be negative, but got {c.seed}.")
    if c.koleo and not (c.koleo_weight is not None and 0 < c.koleo_weight < math.inf):
        faults.append(f"`koleo_weight` must be positive and finite when `koleo` is on, but got {c.koleo_weight}.")
    if not c.koleo and c.koleo_weight is not None:
        faults.append(f"`koleo_weight` must be None when `koleo` is off, but got {c.koleo_weight}.")
    return faults
