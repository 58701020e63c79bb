"""What a configuration must know of losses, backbones and data sets: names and fields as data, no code behind them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

Value = bool | int | float | str

KINDS: Final = (bool, int, float, str)
"""Types of a plug-in's fields; in Parquet numbers, true (1) and false (0) are doubles, the rest strings."""


@dataclass(frozen=True, slots=True)
class Field:
    """A keyword argument of a plug-in's factory, which a configuration has as `loss.alpha`."""

    kind: type
    """One of `KINDS`."""
    default: Value

    def read(self, value: Any) -> Value:
        """`value` as the field's kind; a whole or truth value may come as a float, for so Parquet has it.

        Raises:
            ValueError: it is of another kind, or not finite.
        """
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind is float and number and math.isfinite(value):
            return float(value)
        if self.kind is int and number and math.isfinite(value) and value == int(value):
            return int(value)
        if self.kind is bool and (isinstance(value, bool) or (number and value in (0, 1))):
            return bool(value)
        if self.kind is str and isinstance(value, str):
            return value
        raise ValueError(f"must be {self.kind.__name__}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What any part has; `fields`, `given` and `own` are the keyword arguments of its factory."""

    kind: ClassVar[str]
    """First half of its flat fields, and the `TrainConfig` field that names it."""
    may_be_given: ClassVar[tuple[str, ...]]
    """What the factory of a plug-in may ask for, by a parameter without a default."""

    name: str
    fields: tuple[str, ...] = ()
    """`TrainConfig` fields, by their own names; of built-in parts alone."""
    given: tuple[str, ...] = ()
    """What depends on the run, such as `num_classes`."""
    own: Mapping[str, Field] = field(default_factory=dict)
    """Of plug-ins alone, by flat name: `loss.alpha`."""
    sha256: str | None = None
    """Of the plug-in's source; None: built in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Declared):
    """A training loss."""

    kind: ClassVar[str] = "loss"
    may_be_given: ClassVar[tuple[str, ...]] = ("embedding_dim", "num_classes")

    sees: Literal["batch", "sample"]
    """`batch`: its value depends on how many examples it sees at once; `sample`: it is a mean over them."""
    views: int = 1
    """Images of an example: 1, 2 (augmented views of one image; labels are not needed) or 3 (fixed triplets)."""
    is_margin_if_collapsed: bool = False
    """Whether it equals its `margin` where all embeddings are one; ArcFace's margin is an angle."""

    @property
    def has_parameters(self) -> bool:
        """Whether it has something to train, such as a proxy for each class."""
        return "num_classes" in self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone(Declared):
    """A network from normalised images to features."""

    kind: ClassVar[str] = "backbone"
    may_be_given: ClassVar[tuple[str, ...]] = ("channels", "side", "norm_kind")

    norms: tuple[str, ...] = ("group", "batch", "none")
    """Values of `norm_kind` that there is a network for; `none` alone: it has no BatchNorm to choose for."""
    has_published_weights: bool = False
    has_maps: bool = True
    """Whether its features are maps, as far as that is known before it is built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Declared):
    """A set of labelled images with a loader of its own."""

    kind: ClassVar[str] = "dataset"
    may_be_given: ClassVar[tuple[str, ...]] = ("split", "root")

    flips: bool = True
    """Whether a mirrored image is still one of its class."""
