"""A stranger's loss behind the loop's signature: what it is given, and what it may do besides."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from embedding_core.losses.modules import OverClasses
from embedding_core.losses.objective import base_loss
from embedding_core.metrics.meter import Meter
from embedding_core.models.backbones import build_backbone
from embedding_core.plugins.sources import use, use_named

LOSSES = """
import torch
from torch import nn
from embedding_core.plugins import backbone, loss


class Proxies(nn.Module):
    def __init__(self, embedding_dim, num_classes, scale):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, embedding_dim))
        self.scale = scale

    def forward(self, z, labels):
        assert labels.max() < len(self.weight)
        return nn.functional.cross_entropy(self.scale * z @ self.weight.T, labels)


@loss("proxies", sees="sample")
def proxies(embedding_dim, num_classes, scale: float = 4.0):
    return Proxies(embedding_dim, num_classes, scale)


class Telling(nn.Module):
    epoch = None

    def begin_epoch(self, epoch, epochs):
        self.epoch = (epoch, epochs)

    def draws(self, n, generator):
        return torch.rand(1, n, generator=generator, dtype=torch.float64)

    def bounds(self, neighbourhood):
        return {"floor": 1.0 / neighbourhood}

    def forward(self, z, labels, *, meter, draws):
        meter.add("accuracy", draws.mean(), 1.0)
        return z.square().sum() / len(z)


@loss("telling", sees="batch", views=2)
def telling():
    return Telling()


@loss("broken", sees="batch")
def broken(rate: float = 1.0):
    raise RuntimeError("no such rate")


@loss("nothing", sees="batch")
def nothing():
    return None


@backbone("normed")
def normed(width: int = 8):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


@backbone("no_module")
def no_module():
    return lambda x: x
"""


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "mine.py").write_text(LOSSES)
    use_named([str(tmp_path / "mine.py")])
    yield
    use(())


def test_a_loss_over_classes_gets_their_number_and_labels_counted_from_zero() -> None:
    classes = torch.tensor([3, 7, 9])
    config = TrainConfig.from_flat({"loss": "proxies", "loss.scale": 2.0, "embedding_dim": 5})
    loss = base_loss(config, classes=classes)
    assert isinstance(loss, OverClasses)
    assert [tuple(p.shape) for p in loss.parameters()] == [(3, 5)]
    assert loss.settings() == {"loss": "proxies", "loss.scale": 2.0}
    z, labels = torch.randn(6, 1, 5), classes.repeat(2)[:, None]
    expected = torch.nn.functional.cross_entropy(2.0 * z[:, 0] @ next(loss.parameters()).T, torch.arange(3).repeat(2))
    assert torch.equal(loss(z, labels, Meter(), torch.empty(0, 6, dtype=torch.float64)), expected)
    again = base_loss(config, classes=classes)
    assert torch.equal(next(again.parameters()), next(loss.parameters()))  # drawn from the block's own stream


def test_a_loss_may_meter_draw_have_bounds_and_follow_epochs() -> None:
    loss, meter = base_loss(TrainConfig(loss="telling"), classes=torch.arange(2)), Meter()
    loss.begin_epoch(1, 5)
    draws = loss.draws(8, torch.Generator().manual_seed(0))
    value = loss(torch.ones(4, 2, 3), torch.zeros(4, 2, dtype=torch.int64), meter, draws)
    assert value == 6.0  # [m, views, d], as it is
    assert meter.means() == {"accuracy": pytest.approx(draws.mean().item())}
    assert loss.bounds(4) == {"floor": 0.25}
    assert loss.made.epoch == (1, 5)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: base_loss(TrainConfig(loss="broken"), classes=torch.arange(2)),
            "The loss `broken` cannot be made: RuntimeError: no such rate",
        ),
        (
            lambda: base_loss(TrainConfig(loss="nothing"), classes=torch.arange(2)),
            "The loss `nothing` must be a module or function of (z, labels), but is a NoneType.",
        ),
        (
            lambda: build_backbone("normed", channels=3, side=(8, 8), norm_kind="group"),
            "`norm_kind` must be batch for normed, whose layers have BatchNorm, but got group.",
        ),
        (
            lambda: build_backbone("no_module", channels=3, side=(8, 8), norm_kind="group"),
            "The backbone `no_module` must be an nn.Module, but is a function.",
        ),
    ],
)
def test_what_a_plugin_makes_wrongly_is_a_fault_of_the_user(make: Callable[[], object], said: str) -> None:
    with pytest.raises(Faults) as caught:
        make()
    assert str(caught.value) == said
