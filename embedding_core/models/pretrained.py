"""Initial weights of a backbone: the published ones, or those of a local file."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from embedding_core.errors import Faults


def load_weights(backbone: nn.Module, weights: str, *, name: str) -> None:
    """Give `backbone` the weights that `weights` names; see `read_weights` and `give_weights`.

    Raises:
        Faults: weights that cannot be had or do not fit.
    """
    if weights != "none":
        give_weights(backbone, read_weights(weights, name=name), name=name, source=weights)


def read_weights(weights: str, *, name: str) -> dict[str, Tensor]:
    """Tensors that `weights` names, by the names that they have in a backbone; more than it has, perhaps.

    `imagenet` is what was published for the backbone: torchvision's IMAGENET1K_V1. A file holds a state
    dict of the published model, of the backbone alone, or a model that a sweep kept.

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
            return of_backbone(_torchvisions(name))
    return of_backbone(_saved(Path(weights)))


def of_backbone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of a published model, a network or a backbone by the names that the backbone has for its tensors."""
    return {key.removeprefix("backbone.").removeprefix("features."): value for key, value in state.items()}


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


def is_there(backbone: str) -> bool:
    """Whether the published weights of a backbone lie on this machine, so that nothing is to be fetched."""
    from torchvision.models import get_model_weights

    name = Path(urlsplit(get_model_weights(backbone).IMAGENET1K_V1.url).path).name
    return (Path(torch.hub.get_dir()) / "checkpoints" / name).is_file()


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
