"""Precisions by name: what torch is set to while a run computes, and that it is as before when somebody else does."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.embed import load_model
from embedding_core.errors import Faults
from embedding_core.train import train
from embedding_core.training import checkpoint
from embedding_core.training.precision import computed_in, float32_products, pick_precision, precision_seen

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)

Small = Callable[..., TrainConfig]

ON, OFF = ("tf32", "tf32", "tf32", True, "high"), ("ieee", "ieee", "ieee", False, "highest")
"""Under `tf32`, and under anything else."""


def state() -> tuple[Any, ...]:
    """torch's settings by the newer names and by the older ones, which raise where the two disagree."""
    backends: Any = torch.backends
    flags = (backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.matmul)
    return (*(f.fp32_precision for f in flags), backends.cudnn.allow_tf32, torch.get_float32_matmul_precision())


@pytest.fixture(params=["highest", "high", "medium"])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[Any, ...]]:
    """The state that a process was in, by what it has been set to."""
    with float32_products("float32"):  # whose end restores what this fixture changes
        torch.set_float32_matmul_precision(request.param)
        torch.backends.cudnn.allow_tf32 = request.param != "highest"
        yield state()


def test_auto_follows_the_device_and_tf32_needs_one_that_has_it() -> None:
    assert [pick_precision("auto", device) for device in (CPU, CUDA)] == ["float32", "bf16"]
    assert [pick_precision(asked, CUDA) for asked in ("float32", "tf32", "bf16")] == ["float32", "tf32", "bf16"]
    assert [pick_precision(asked, CPU) for asked in ("float32", "bf16")] == ["float32", "bf16"]
    with pytest.raises(Faults) as caught:
        pick_precision("tf32", CPU)
    assert str(caught.value) == (
        "`precision` must be float32, bf16 or auto without a CUDA device, but got tf32 on cpu."
    )


@pytest.mark.parametrize(("precision", "expected"), [("tf32", ON), ("float32", OFF), ("bf16", OFF)])
def test_products_are_set_and_put_back(before: tuple[Any, ...], precision: str, expected: tuple[Any, ...]) -> None:
    with float32_products(precision):
        assert state() == expected
    assert state() == before
    with pytest.raises(ZeroDivisionError), float32_products(precision):
        _ = 1 / 0
    assert state() == before


def test_a_setting_for_all_of_torch_does_not_reach_a_run() -> None:
    backends: Any = torch.backends
    general = backends.fp32_precision
    try:
        backends.fp32_precision = "tf32"
        with float32_products("float32"):
            assert state() == OFF
    finally:
        backends.fp32_precision = general


def test_whoever_takes_the_items_has_the_settings_of_before(before: tuple[Any, ...]) -> None:
    seen = []

    def items() -> Iterator[int]:
        for i in range(3):
            seen.append(state())
            yield i

    others = computed_in("float32", iter(range(9)))
    for i in computed_in("tf32", items()):
        assert state() == before
        assert next(others) == i  # two runs at once, each with its own
    assert seen == [ON] * 3
    assert state() == before


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_run_leaves_no_trace_wherever_it_is_closed(
    small: Small, digits: DeviceData, before: tuple[Any, ...], rows: int
) -> None:
    run = train(small(precision="float32"), data=digits)
    for _ in itertools.islice(run, rows):
        assert state() == before
    run.close()
    assert state() == before


def test_a_run_computes_under_its_own_settings(small: Small, digits: DeviceData, before: tuple[Any, ...]) -> None:
    seen = []
    hook = register_module_forward_pre_hook(lambda *_: seen.append(state()))
    try:
        (row,) = train(small(epochs=1), data=digits)
    finally:
        hook.remove()
    assert set(seen) == {OFF}
    assert row["precision_used"] == "float32"
    assert state() == before


def test_a_run_in_tf32_is_refused_on_a_cpu(small: Small, digits: DeviceData) -> None:
    with pytest.raises(Faults, match="got tf32 on cpu"):
        next(train(small(device="cpu", precision="tf32"), data=digits))


def test_what_is_seen_is_what_torch_is_set_to() -> None:
    with float32_products("tf32"):
        assert [precision_seen(name, CUDA) for name in ("float32", "tf32", "bf16")] == ["tf32", "tf32", "bf16"]
        assert precision_seen("tf32", CPU) == "float32"
    with float32_products("float32"):
        assert precision_seen("tf32", CUDA) == "float32"
        torch.backends.cudnn.allow_tf32 = True  # torch's own default
        assert precision_seen("float32", CUDA) == "mixed"


def test_a_model_trained_in_tf32_can_be_used_without_a_gpu(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    list(train(small(precision="float32"), save_to=file, data=digits))
    state = checkpoint.read(file)
    state["config"] = small(precision="tf32").to_json()
    torch.save(state, file)
    network = load_model(file)
    assert network.precision == ("float32" if network.mean.device.type == "cpu" else "tf32")
