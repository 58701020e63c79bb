"""Compiled networks in one process, one after the other: none of them runs uncompiled in silence."""

from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.train import train
from embedding_core.training.compiling import compile_network

Small = Callable[..., TrainConfig]

NETWORKS = 10
"""More than the versions of a function that torch keeps."""


class Net(nn.Module):
    """All share the code that is compiled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y


@pytest.fixture(autouse=True)
def _traced_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without a C++ compiler, which adds a minute and nothing to the question; a version too many is an error.

    The suite's checks of shapes, which would be traced with the network, are off.
    """
    assert torch._dynamo.config.recompile_limit < NETWORKS
    compile_in_place = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda network: compile_in_place(network, backend="eager"))
    jaxtyping.config.update("jaxtyping_disable", True)
    torch.compiler.reset()
    counters.clear()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield
    torch.compiler.reset()
    jaxtyping.config.update("jaxtyping_disable", False)


def compiled() -> int:
    """Versions compiled since the test began."""
    return int(counters["frames"]["ok"])


@pytest.mark.slow
def test_networks_beyond_what_torch_keeps_are_compiled_all_the_same() -> None:
    for width in range(1, NETWORKS + 1):
        network = Net(width)
        compile_network(network)
        network(torch.ones(4, width))
        assert compiled() == width
    assert not counters["unimplemented"]


def test_code_is_kept_for_a_network_of_the_same_kind_and_shapes() -> None:
    for batch in (4, 4, 4, 6, 4):
        network = Net(3)
        compile_network(network, batch)
        network(torch.ones(batch, 3))
    assert compiled() == 3  # for 4, for 6, and for 4 anew


@pytest.mark.slow
def test_the_compiler_of_this_machine_gives_what_the_network_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what `compile=True` uses; the other tests here trace alone."""
    monkeypatch.undo()
    network, images = Net(3), torch.randn(4, 3)
    expected = network(images)
    compile_network(network)
    torch.testing.assert_close(network(images), expected)
    assert compiled() == 1


@pytest.mark.slow
def test_a_process_compiles_run_after_run(small: Small, digits: DeviceData) -> None:
    """Batches, networks and losses that differ, as those of a sweep's trials do."""
    before = 0
    for i in range(NETWORKS):
        settings: dict[str, Any] = {
            "batch_size": 16 + 2 * i,
            "embedding_dim": 8 + i,
            "accum_steps": 1 + i % 2,
            "loss": ("triplet", "softmax", "nt_xent")[i % 3],
        }
        rows = list(train(small(**settings, compile=True, epochs=1), data=digits))
        assert rows[-1]["end_reason"] == "completed"
        assert compiled() >= before + 2, "for training and for evaluation"
        before = compiled()
    again = list(train(small(**settings, compile=True, epochs=1, lr=1e-3), data=digits))
    assert again[-1]["end_reason"] == "completed"
    assert compiled() == before, "another rate alone needs no other code"
