"""One file per run: weights, optimiser state, the rows so far. Random streams start anew each epoch and need none."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from embedding_core.config.train_config import NOT_HASHED, TrainConfig
from embedding_core.errors import Faults
from embedding_core.losses.objective import Objective
from embedding_core.models.network import EmbeddingNetwork
from embedding_core.storage.atomic_write import whole
from embedding_core.storage.result_tables import Row

VERSION = 2

_UNREADABLE = (OSError, EOFError, KeyError, RuntimeError, UnicodeError, zipfile.BadZipFile, pickle.UnpicklingError)
"""What `zipfile` and `torch.load` raise for a cut or foreign file depends on its bytes."""


class Damaged(Faults):
    """A file that is no checkpoint any more, or never was one."""


def save(
    file: Path,
    config: TrainConfig,
    network: EmbeddingNetwork,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rows: list[Row],
) -> None:
    """Write atomically: a killed process leaves the previous file or this one, never half of it.

    Raises:
        StorageError: e.g. disk full; the previous file is as it was.
    """
    state = {
        "version": VERSION,
        "config": config.to_json(),
        "image_shape": list(network.image_shape),
        "network": network.state_dict(),
        "objective": objective.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rows": rows,
    }
    _replace(file, state)


def load(
    file: Path,
    config: TrainConfig,
    network: EmbeddingNetwork,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
) -> list[Row]:
    """Restore `network`, `objective` and `optimizer` in place; returns the rows so far (at least one).

    Raises:
        Damaged: no readable checkpoint.
        Faults: one of another configuration.
    """
    state = read(file)
    if "optimizer" not in state:
        raise Faults([f"{file} holds a model alone, not a run that could go on."])
    if state["config"] != config.to_json():
        differing = _difference(json.loads(state["config"]), json.loads(config.to_json()))
        raise Faults([f"{file} is of another configuration: {differing}."])
    network.load_state_dict(state["network"])
    objective.load_state_dict(state["objective"])
    optimizer.load_state_dict(state["optimizer"])
    rows: list[Row] = state["rows"]
    return rows


def export_model(checkpoint: Path, file: Path) -> None:
    """Write weights and config alone, as `embedding_core.embed` reads them."""
    state = read(checkpoint)
    _replace(file, {key: state[key] for key in ("version", "config", "image_shape", "network")})


def read(file: Path) -> dict[str, Any]:
    """Contents of a checkpoint or model file; tensors on the CPU, nothing is unpickled but tensors and plain values.

    Raises:
        Damaged: missing, cut off, or any byte is another than was written.
        Faults: of another version.
    """
    try:
        with zipfile.ZipFile(file) as archive:  # torch.load looks at no checksum
            broken = archive.testzip()
        if broken is not None:
            raise Damaged([f"{file} is damaged: the checksum of {broken} is another."])
        state = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise Damaged([f"{file} is not a readable checkpoint: {type(error).__name__}: {error}"]) from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise Faults([f"{file} is not a checkpoint of version {VERSION}."])
    return state


def model_config(state: dict[str, Any]) -> TrainConfig:
    """Configuration a file was trained with (`data_root` is not kept)."""
    assert NOT_HASHED == ("data_root",)
    return TrainConfig.from_flat(json.loads(state["config"]))


def _replace(file: Path, state: dict[str, Any]) -> None:
    with whole(file) as stream:
        torch.save(state, stream)


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(f"{k}={old.get(k)} there, {new.get(k)} here" for k in {**old, **new} if old.get(k) != new.get(k))
