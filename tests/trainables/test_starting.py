"""What a trial finds before it trains, without Ray: a GPU that torch cannot use, data that are out of reach."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
from PIL import Image
from pyarrow import fs
from ray import tune

from embedding_core.config.train_config import TrainConfig
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import PAUSE_S
from trainables.checkpoint_store import CheckpointStore
from trainables.embedding import EmbeddingTrainable
from trainables.endings import UnfitMachine
from trainables.run_label import RunLabel, to_flat


class Starts(EmbeddingTrainable):
    """On a quarter of a GPU, as Ray places a trial where it has counted one; its pauses are noted and not slept."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        self.pauses: list[float] = []
        self.on_pause: Callable[[], None] = lambda: None
        super().setup(config, **given)

    @property
    def trial_resources(self) -> Any:
        return tune.PlacementGroupFactory([{"CPU": 1, "GPU": 0.25}])

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.on_pause()

    def begin(self) -> Row:
        """The first row, as `step` comes by it."""
        return self._next_row()


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Callable[..., Starts]]:
    CheckpointStore.ready(str(tmp_path / "checkpoints"))
    started = []

    def start(**settings: Any) -> Starts:
        label = RunLabel(
            study_id="s", stage="search", cell_id="c", trial_id="t00000", block=0, origin="sampled", attempt=1,
            checkpoint_dir=str(tmp_path / "checkpoints"),
        )  # fmt: skip
        small = {"subset": 64, "batch_size": 32, "epochs": 1, "embedding_dim": 4, **settings}
        started.append(Starts(to_flat(TrainConfig(**small), label)))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def grey_set() -> pa.Table:
    """200 images of 8x8 in two classes that differ in brightness, in the Hugging Face layout."""

    def png(number: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("L", (8, 8), number % 2 * 128 + number // 2).save(buffer, "PNG")
        return buffer.getvalue()

    images = [{"bytes": png(number), "path": f"{number}.png"} for number in range(200)]
    return pa.table({"image": images, "label": pa.array([number % 2 for number in range(200)], pa.int64())})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_share_of_a_gpu_that_torch_cannot_use_is_no_reason_to_train_on_the_cpu(
    starts: Callable[..., Starts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=str, get_node_labels=dict))
    row = starts(device="auto").step()
    assert (row["done"], row["end_reason"]) == (True, "error")
    assert row["error_type"].startswith("UnfitMachine: A trial holds 0.25 of a GPU that torch cannot use here")
    for part in ("Card, its compute capability and driver: ", f"torch {torch.__version__}", "`--gpus-per-trial 0`"):
        assert part in row["traceback"]
    assert starts(device="cpu").begin()["epoch"] == 1, "how packing is tried on GPUs that are not there"


def test_an_outage_of_the_data_root_is_waited_for_and_a_refusal_is_the_machines(
    starts: Callable[..., Starts],
    bucket: str,
    tmp_path: Path,
    answering: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    store, root = fs.FileSystem.from_uri(f"{bucket}/data/mine")
    store.create_dir(root)
    pq.write_table(grey_set(), f"{root}/train.parquet", filesystem=store)
    outage, refusal = pytest.MonkeyPatch(), b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    one = starts(device="cpu", dataset="mine", data_root=f"{bucket}/data")
    one.on_pause = outage.undo
    outage.setenv("AWS_ENDPOINT_URL", f"http://{answering(409)}")
    assert one.begin()["epoch"] == 1
    assert one.pauses == [PAUSE_S]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{answering(403, refusal)}")
    with pytest.raises(UnfitMachine, match="ACCESS_DENIED"):
        starts(device="cpu", dataset="mine", data_root=f"{bucket}/data").begin()
