"""The decorators of plug-ins. They mark a factory and do nothing else; `sources.use` finds the marks."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from embedding_core.errors import unknown
from embedding_core.plugins.declarations import KINDS, Backbone, Dataset, Declared, Field, Loss

_Factory = TypeVar("_Factory", bound=Callable[..., Any])

MARK = "__koleo_plugin__"
"""Attribute of a decorated factory."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator says of a factory."""

    declared: Declared
    faults: tuple[str, ...]
    """Told by the loader, with those of everything else."""


def loss(name: str, *, sees: Literal["batch", "sample"], views: int = 1) -> Callable[[_Factory], _Factory]:
    """Declare the training loss that the decorated factory makes.

    What it makes is called as `loss(z, labels)` and returns a scalar, the mean over its examples. `z` are embeddings of
    unit length, float32 [n, d], with labels int64 [n]; with more views [m, views, d] and [m, views]. It may also take
    `meter` and `draws`, and have `draws`, `bounds` and `begin_epoch` as `embedding_core.losses.BaseLoss` has them.

    Args:
        name: what `--loss` and `TrainConfig.loss` call it.
        sees: `batch` if an example's part in it depends on the others at hand, else `sample`.
        views: images of an example: 1, 2 (augmented views of one image) or 3 (anchor, positive, negative).

    The factory's parameters with a default (float, int, bool or str) become the fields `loss.PARAMETER`. Without one it
    may ask for `embedding_dim` and `num_classes`; labels are then 0 to `num_classes` - 1.
    """
    faults = [] if sees in ("batch", "sample") else [unknown("value of `sees`", str(sees), ("batch", "sample"))]
    if views not in (1, 2, 3):
        faults.append(f"`views` must be 1, 2 or 3, but got {views!r}.")
    return _marked(Loss(name=name, sees="batch") if faults else Loss(name=name, sees=sees, views=views), faults)


def backbone(name: str) -> Callable[[_Factory], _Factory]:
    """Declare the network that the decorated factory makes: any `nn.Module` from images to features.

    It gets normalised images, float32 [n, 3, h, w] (grey ones are repeated), and returns features [n, width] or maps
    [n, width, h', w']; the width is found by trying. Its layers stay as they are: one with BatchNorm needs
    `norm_kind=batch`.

    The factory's parameters with a default become the fields `backbone.PARAMETER`. Without one it may ask for
    `channels` (of the images, which are then not repeated), `side` (height and width in pixels) and `norm_kind`.
    """
    return _marked(Backbone(name=name), [])


def dataset(name: str, *, flips: bool = True) -> Callable[[_Factory], _Factory]:
    """Declare the image set that the decorated factory makes: any `torch.utils.data.Dataset` of (image, label).

    An image is a PIL image, a uint8 array [h, w] or [h, w, c], or a tensor [c, h, w] (uint8, or float in [0, 1]); each
    row must be the same whenever it is read, for it is decoded once. `classes` of the set, if there, names its labels.

    Args:
        name: what `--dataset` calls it.
        flips: whether a mirrored image is still one of its class.

    The factory's parameters with a default become the fields `dataset.PARAMETER`. Without one it may ask for `split`
    (`train` or `test`; without, a test split is carved out) and `root`, the folder of the data sets or its URI.
    """
    return _marked(Dataset(name=name, flips=flips), [])


def _marked(declared: Declared, faults: list[str]) -> Callable[[_Factory], _Factory]:
    if not declared.name.replace("_", "").replace("-", "").replace(".", "").isalnum():
        faults.append(f"A name must be letters, digits, `_`, `-` and `.`, but got {declared.name!r}.")

    def mark(factory: _Factory) -> _Factory:
        given, own, wrong = _parameters(declared, factory)
        where = f"{declared.kind} `{declared.name}`"
        told = tuple(f"{where}: {fault}" for fault in (*faults, *wrong))
        setattr(factory, MARK, Mark(replace(declared, given=given, own=own), told))
        return factory

    return mark


def _parameters(declared: Declared, factory: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Field], list[str]]:
    """What the factory asks for, its own fields, and what is wrong with its parameters."""
    given: list[str] = []
    own: dict[str, Field] = {}
    faults: list[str] = []
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            faults.append(f"the factory must take its parameters by name, but has `{parameter}`.")
        elif parameter.default is not parameter.empty:
            wrong = list(_default_faults(parameter))
            faults += wrong
            if not wrong:
                own[f"{declared.kind}.{name}"] = Field(_kind(parameter), parameter.default)
        elif name in declared.may_be_given:
            given.append(name)
        else:
            asked = unknown("parameter without a default", name, declared.may_be_given)
            faults.append(f"{asked} A setting needs a default.")
    return tuple(given), own, faults


def _kind(parameter: inspect.Parameter) -> type:
    """As it is annotated, by name or by type; otherwise the default's."""
    named = {kind.__name__: kind for kind in KINDS}
    written = parameter.annotation
    if written is parameter.empty:
        return type(parameter.default)
    return named.get(written, object) if isinstance(written, str) else written


def _default_faults(parameter: inspect.Parameter) -> Iterator[str]:
    kind, names = _kind(parameter), ", ".join(kind.__name__ for kind in KINDS)
    if kind not in KINDS:
        yield f"`{parameter.name}` must be one of {names}, but is `{parameter}`."
        return
    try:
        Field(kind, parameter.default).read(parameter.default)
    except ValueError:
        yield f"the default of `{parameter.name}` must be {kind.__name__}, but is {parameter.default!r}."
