"""Files of somebody else's are data: nothing in them is executed, and no name in them leads out of a sweep's folder.

Beside what they concern: checkpoints and models (tests/embedding_core/training/test_checkpoint.py), `--name`
(tests/sweeps/cli/test_options.py), names in reports (tests/sweeps/analysis/report/test_report.py).
"""

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embedding_core.data.image_sets import load
from embedding_core.data.readers.image_cache import array_set
from embedding_core.data.readers.torchvision_sets import UNPACKED
from embedding_core.embed import load_model
from embedding_core.errors import Faults
from embedding_core.models.pretrained import load_weights
from embedding_core.training import checkpoint
from sweeps.results import store
from sweeps.results.store import Store

ROOT = Path(__file__).parents[1]


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    """Where a trap leaves its mark; it does, in a reader that trusts."""
    file = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(file)))
    file.unlink()
    return file


def test_weights_are_not_executed(sprung: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    for save in (lambda: torch.save({"a": Trap(sprung)}, file), lambda: file.write_bytes(pickle.dumps(Trap(sprung)))):
        save()
        with pytest.raises(Faults, match=r"weights\.pt"):
            load_weights(torch.nn.Linear(2, 2), str(file), name="small_cnn")
    assert not sprung.exists()


def test_a_model_is_not_executed(sprung: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({"version": checkpoint.VERSION, "network": Trap(sprung)}, file)
    with pytest.raises(Faults, match=r"model\.pt"):
        load_model(file)
    assert not sprung.exists()


def test_the_image_cache_is_not_executed(sprung: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    images, labels = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1])
    array_set(images, labels, ("a", "b"), image_size=8)
    (entry,) = (tmp_path / "cache").rglob("labels.npy")
    np.save(entry, np.array([Trap(sprung), None], dtype=object), allow_pickle=True)
    assert array_set(images, labels, ("a", "b"), image_size=8)[1].tolist() == [0, 1]
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("name", "place"), [("cifar10", "cifar-10-batches-py"), *(("cifar-10-python", place) for place in UNPACKED)]
)
def test_the_pickles_of_cifar10_are_not_executed_unless_they_are_its_authors(
    sprung: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / place).mkdir(parents=True)
    for file in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (tmp_path / place / file).write_bytes(pickle.dumps(Trap(sprung)))
    for split in ("train", "test"):
        with pytest.raises(Faults, match=f"`{name}` was not found"):
            load(name, tmp_path, split=split, download=False)
    assert not sprung.exists()


@pytest.mark.parametrize("trial_id", ["../../../outside", "/outside", "", None, "t\n"])
def test_a_trial_id_in_a_table_leads_nowhere(trial_id: str | None, tmp_path: Path) -> None:
    """Checkpoints are read and deleted by the trial ids of the tables."""
    folder = tmp_path / "sweep"
    path = Store.create(folder).write("trials", "search", "t00000", 1, [{"end_reason": "diverged", "cell_id": "c"}])
    rows = pq.ParquetFile(path).read()
    changed = rows.set_column(rows.schema.get_field_index("trial_id"), "trial_id", pa.array([trial_id], pa.string()))
    pq.write_table(changed, path)
    for read in (
        lambda: store.read(folder, "trials"),
        lambda: store.finished(folder, "search", retry=("oom",)),
        lambda: store.compact(folder),
    ):
        with pytest.raises(Faults, match="no trial's id"):
            read()


def calls() -> Iterator[tuple[Path, str, ast.Call]]:
    """Every call in the packages: its file, what is called as written, and the call."""
    for package in ("embedding_core", "trainables", "sweeps"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    yield file.relative_to(ROOT), ast.unparse(node.func), node


def test_nothing_is_read_in_a_way_that_runs_it() -> None:
    trusted = {
        "sweeps/engine/private_api.py",  # the error that Tune has just written on the driver's own disk
        "embedding_core/plugins/sources.py",  # what a user names by `--plugin`, and no folder does
    }
    loads = [call for call in calls() if call[1] == "torch.load"]
    assert loads
    for file, _, node in loads:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert given.get("weights_only") == "True", file
    for file, name, node in calls():
        runs = re.fullmatch(r"(cloud)?pickle\.loads?|joblib\.load|eval|exec|yaml\.(unsafe_)?load", name)
        assert not runs or str(file) in trusted, f"{file}: {name}"
        assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords), file
