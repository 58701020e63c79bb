"""Every loss and miner under accumulation, with the objective that training uses, in float64."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from embedding_core.config.train_config import CHOICES, TrainConfig
from embedding_core.losses.objective import Objective
from embedding_core.metrics.meter import Meter
from embedding_core.training.accumulation import LossOf, accumulated_step

BATCH, CLASSES = 24, 4
EXACT = 1e-12
LABELS = torch.arange(BATCH) * 7 % CLASSES

MINED = [{"loss": "mined", "mining": kind} for kind in CHOICES["mining"]]
OTHERS = [{"loss": loss} for loss in CHOICES["loss"] if loss != "mined"]
LOSSES: list[dict[str, Any]] = [
    *OTHERS, *MINED,
    {"loss": "semihard", "distance": "l2"}, {"loss": "mined", "mining": "hard/hard", "distance": "sql2"},
    {"loss": "nt_xent", "similarity": "dot", "temperature": 0.1}, {"loss": "semihard", "fallback": "nearest"},
]  # fmt: skip
PER_SAMPLE = [{"loss": "triplet"}, {"loss": "arcface"}, {"loss": "softmax"}]
KOLEO: list[dict[str, Any]] = [
    {},
    {"koleo": True, "koleo_weight": 0.3},
    {"koleo": True, "koleo_weight": 0.3, "koleo_top_k": 3},
    {"koleo": True, "koleo_weight": 0.3, "koleo_exclude_same_class": True},
]


def name(settings: dict[str, Any]) -> str:
    return ",".join(str(value) for value in settings.values()) or "no KoLeo"


class Run:
    """Network, objective and a batch, rebuilt the same each time."""

    def __init__(self, settings: dict[str, Any], *, dropout: float = 0.0) -> None:
        self.config = TrainConfig(batch_size=BATCH, embedding_dim=5, scale=8.0, **settings)
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Dropout(dropout), nn.Flatten()]
        self.network = nn.Sequential(*layers, nn.Linear(8 * 16, 5)).double()
        self.objective = Objective.of(self.config, classes=torch.arange(CLASSES)).double()
        self.objective.base.begin_epoch(1, 35)
        views = self.config.views_per_example
        self.inputs = torch.randn(
            BATCH, views, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        self.labels = LABELS[:, None].repeat(1, views)
        if views == 3:
            self.labels[:, 2] = (LABELS + 1) % CLASSES

    def forward(self, x: Tensor) -> Tensor:
        z = self.network(x.flatten(0, 1))
        if self.config.trains_on_unit_length:
            z = nn.functional.normalize(z, dim=1)
        return z.unflatten(0, x.shape[:2])

    def loss_of(self) -> LossOf:
        draw = torch.Generator().manual_seed(3)  # random mining draws the same for the same batch
        drawn = self.objective.base.draws

        def loss_of(z: Tensor, part: slice) -> Tensor:
            labels = self.labels[part]
            loss: Tensor = self.objective(z, labels, Meter(), drawn(labels.numel(), draw))
            return loss

        return loss_of

    def gradient(self, accum_steps: int, mode: str) -> Tensor:
        for module in (self.network, self.objective):
            module.zero_grad(set_to_none=True)
        torch.manual_seed(7)
        accumulated_step(self.forward, self.inputs, self.loss_of(), accum_steps=accum_steps, mode=mode)
        return self._gradients()

    def full(self, accum_steps: int = 1) -> Tensor:
        """One loss over all, from a forward pass in chunks (they matter where dropout draws)."""
        for module in (self.network, self.objective):
            module.zero_grad(set_to_none=True)
        torch.manual_seed(7)
        z = torch.cat([self.forward(part) for part in self.inputs.split(math.ceil(BATCH / accum_steps))])
        self.loss_of()(z, slice(0, BATCH)).backward()
        return self._gradients()

    def _gradients(self) -> Tensor:
        parameters = [*self.network.parameters(), *self.objective.parameters()]
        return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("koleo", KOLEO, ids=name)
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_cached_is_the_full_batch(loss: dict[str, Any], koleo: dict[str, Any]) -> None:
    run = Run({**loss, **koleo})
    expected = run.full()
    assert expected.norm() > 0
    for accum_steps in (2, 5, 7, BATCH):  # 5 and 7 do not divide 24
        assert relative_error(run.gradient(accum_steps, "cached"), expected) <= EXACT


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_cached_with_dropout_is_the_chunked_forward_and_one_loss(loss: dict[str, Any]) -> None:
    run = Run({**loss, **KOLEO[1]}, dropout=0.4)
    for accum_steps in (3, 5):
        expected = run.full(accum_steps)
        assert relative_error(run.gradient(accum_steps, "cached"), expected) <= EXACT


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_one_pass_is_the_same_in_both_modes(loss: dict[str, Any]) -> None:
    run = Run({**loss, **KOLEO[1]}, dropout=0.2)
    assert torch.equal(run.gradient(1, "naive"), run.gradient(1, "cached"))


@pytest.mark.parametrize("loss", PER_SAMPLE, ids=name)
@pytest.mark.parametrize("accum_steps", [2, 5, 24])
def test_a_per_sample_loss_does_not_see_naive_accumulation(loss: dict[str, Any], accum_steps: int) -> None:
    run = Run(loss)
    assert relative_error(run.gradient(accum_steps, "naive"), run.full()) <= EXACT


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss not in PER_SAMPLE], ids=name)
def test_a_loss_over_the_neighbourhood_does(loss: dict[str, Any]) -> None:
    run = Run(loss)
    assert relative_error(run.gradient(4, "naive"), run.full()) > 1e-2


@pytest.mark.parametrize("loss", PER_SAMPLE, ids=name)
def test_naive_koleo_is_cached_koleo_in_groups_of_a_micro_batch(loss: dict[str, Any]) -> None:
    naive = Run({**loss, **KOLEO[1]})
    group = naive.config.views_per_example * BATCH // 4
    grouped = Run({**loss, **KOLEO[1], "koleo_group_size": group})
    assert relative_error(naive.gradient(4, "naive"), grouped.gradient(4, "cached")) <= EXACT
