"""Checkpoints: whole or absent, of one configuration, readable without executing anything."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.train import train
from embedding_core.training import checkpoint

Small = Callable[..., TrainConfig]


@pytest.fixture
def saved(small: Small, digits: DeviceData, tmp_path: Path) -> Path:
    file = tmp_path / "deep" / "run.pt"
    next(train(small(), save_to=file, save_every_s=0, data=digits))
    return file


def refused(config: TrainConfig, file: Path, digits: DeviceData) -> str:
    with pytest.raises(Faults) as caught:
        next(train(config, resume=file, data=digits))
    return str(caught.value)


def test_a_checkpoint_of_another_config_names_the_difference(small: Small, digits: DeviceData, saved: Path) -> None:
    message = refused(small(lr=0.1, koleo=True, koleo_weight=0.2), saved, digits)
    assert str(saved) in message
    for part in ("lr=0.0005 there, 0.1 here", "koleo=False there, True here", "koleo_weight=None there, 0.2 here"):
        assert part in message
    assert "epochs" not in message


def test_where_the_data_lie_may_change(small: Small, digits: DeviceData, saved: Path, tmp_path: Path) -> None:
    rows = list(train(replace(small(), data_root=str(tmp_path)), resume=saved, data=digits))
    assert [row["epoch"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_cut_off_checkpoint_is_refused(small: Small, digits: DeviceData, saved: Path, size: int) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    assert "is not a readable checkpoint" in refused(small(), saved, digits)


def test_other_files_are_refused(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    file = tmp_path / "file.pt"
    file.write_text("text")
    assert "not a readable checkpoint" in refused(small(), file, digits)
    torch.save({"version": 0}, file)
    assert "not a checkpoint of version 2" in refused(small(), file, digits)
    assert "not a readable checkpoint" in refused(small(), tmp_path / "missing.pt", digits)


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


def test_nothing_in_a_checkpoint_is_executed(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    file = tmp_path / "trap.pt"
    torch.save({"version": checkpoint.VERSION, "config": Trap(sprung)}, file)
    assert "not a readable checkpoint" in refused(small(), file, digits)
    file.write_bytes(pickle.dumps(Trap(sprung)))
    assert "not a readable checkpoint" in refused(small(), file, digits)
    assert not sprung.exists()


def test_an_exported_model_holds_weights_and_config_alone(
    small: Small, digits: DeviceData, saved: Path, tmp_path: Path
) -> None:
    file = tmp_path / "best" / "model.pt"
    checkpoint.export_model(saved, file)
    state, whole = checkpoint.read(file), checkpoint.read(saved)
    assert set(state) == {"version", "config", "image_shape", "network"}
    assert checkpoint.model_config(state) == small()
    assert all(torch.equal(value, whole["network"][name]) for name, value in state["network"].items())
    assert file.stat().st_size < 0.5 * saved.stat().st_size  # Adam keeps two more numbers a weight
    assert "holds a model alone" in refused(small(), file, digits)


def test_a_failed_write_leaves_the_previous_checkpoint(
    small: Small, digits: DeviceData, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    write = torch.save

    def disk_full(state: object, stream: BinaryIO) -> None:
        write(state, stream)
        stream.truncate(1000)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        list(train(small(), resume=saved, save_to=saved, saving=lambda write: write(), data=digits))
    assert saved.read_bytes() == before


@pytest.mark.slow
def test_no_byte_can_change_unnoticed(saved: Path) -> None:
    """torch.load looks at no checksum: most flipped bytes would become other weights."""
    whole, state = saved.read_bytes(), checkpoint.read(saved)
    unnoticed = []
    for place in range(0, len(whole), len(whole) // 200):
        content = bytearray(whole)
        content[place] ^= 0xFF
        saved.write_bytes(content)
        try:
            read = checkpoint.read(saved)
        except checkpoint.Damaged:
            continue
        unnoticed.append(all(torch.equal(read["network"][name], value) for name, value in state["network"].items()))
    assert all(unnoticed), "padding and time stamps may change, weights may not"
    assert len(unnoticed) < 50
