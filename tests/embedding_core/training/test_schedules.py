"""Rates against torch's own schedulers and the closed forms, in one phase and in two."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from embedding_core.config.train_config import TrainConfig
from embedding_core.models.network import build_network
from embedding_core.training.optimizers import build_optimizer
from embedding_core.training.schedules import lr_at, schedule_of, set_lr

LR = 0.3


def rates(updates_per_epoch: int = 5, **settings: object) -> list[float]:
    """Rate of every update of a run by a configuration."""
    config = TrainConfig.from_flat({"lr": LR, **settings})
    return [schedule_of(config, updates_per_epoch)(update) for update in range(config.epochs * updates_per_epoch)]


def torchs(scheduler_of: type[lr_scheduler.LRScheduler], updates: int, **settings: float) -> list[float]:
    """Rates of torch's scheduler over as many updates."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=LR)
    scheduler = scheduler_of(optimizer, **settings)
    result = []
    for _ in range(updates):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(result) < updates:
            scheduler.step()
    return result


@given(epochs=st.integers(1, 8), updates_per_epoch=st.integers(1, 9))
def test_cosine_is_torchs(epochs: int, updates_per_epoch: int) -> None:
    n = epochs * updates_per_epoch
    expected = torchs(lr_scheduler.CosineAnnealingLR, n, T_max=n)
    assert rates(updates_per_epoch, epochs=epochs, schedule="cosine") == pytest.approx(expected, rel=1e-9)


@given(epochs=st.integers(1, 8), updates_per_epoch=st.integers(1, 9))
def test_one_cycle_is_torchs(epochs: int, updates_per_epoch: int) -> None:
    n = epochs * updates_per_epoch
    expected = torchs(lr_scheduler.OneCycleLR, n, max_lr=LR, total_steps=n, cycle_momentum=False)
    assert rates(updates_per_epoch, epochs=epochs, schedule="one_cycle") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "anneal"])
def test_warm_up_is_torchs_and_the_schedule_follows(schedule: str) -> None:
    with_warmup = rates(5, epochs=6, warmup_epochs=2, schedule=schedule)
    expected = torchs(lr_scheduler.LinearLR, 10, start_factor=0.1, total_iters=9)
    assert with_warmup[:10] == pytest.approx(expected)
    assert with_warmup[10:] == pytest.approx(rates(5, epochs=4, schedule=schedule))
    assert with_warmup[10] == LR


def test_annealing_of_study_4() -> None:
    annealed = rates(5, epochs=2, schedule="anneal")
    assert annealed == pytest.approx([LR * (1 + p) ** -0.75 for p in range(10)])
    assert annealed[5] / LR == pytest.approx(0.260847, rel=1e-5)


def test_constant_is_constant() -> None:
    assert set(rates(epochs=3)) == {LR}


@pytest.mark.parametrize("schedule", ["constant", "cosine", "anneal", "one_cycle"])
def test_the_schedule_starts_anew_at_its_own_rate_when_the_backbone_thaws(schedule: str) -> None:
    frozen = rates(5, epochs=2, schedule=schedule)
    for unfrozen_lr in (None, 0.01):
        both = rates(5, epochs=5, freeze_epochs=2, unfrozen_lr=unfrozen_lr, schedule=schedule)
        thawed = rates(5, epochs=3, schedule=schedule, lr=unfrozen_lr or LR)
        assert both == pytest.approx(frozen + thawed)


def test_only_the_first_phase_warms_up() -> None:
    both = rates(4, epochs=5, freeze_epochs=3, unfrozen_lr=0.01, warmup_epochs=1, schedule="cosine")
    assert both[:12] == pytest.approx(rates(4, epochs=3, warmup_epochs=1, schedule="cosine"))
    assert both[12] == 0.01


def test_a_backbone_frozen_to_the_end_is_one_phase() -> None:
    assert rates(epochs=3, freeze_epochs=3, schedule="cosine") == rates(epochs=3, schedule="cosine")


@pytest.mark.parametrize("update", [-1, 10])
def test_updates_outside_the_run(update: int) -> None:
    with pytest.raises(ValueError, match=rf"in \[0, 10\), but got {update}"):
        lr_at(update, schedule="cosine", lr=LR, updates=10)


def test_a_schedule_needs_no_configuration_and_no_unknown_name() -> None:
    alone = [lr_at(u, schedule="cosine", lr=LR, updates=20, warmup_updates=4, frozen_updates=8) for u in range(20)]
    assert alone == rates(4, epochs=5, freeze_epochs=2, warmup_epochs=1, schedule="cosine")
    with pytest.raises(ValueError, match="Did you mean `cosine`"):
        lr_at(0, schedule="cosin", lr=LR, updates=1)


def test_groups_follow_at_their_ratio() -> None:
    mean = torch.ones(1)
    network = build_network(TrainConfig(), shape=(1, 8, 8), mean=mean, std=mean, precision="float32")
    proxies = nn.Parameter(torch.ones(2, 2))
    optimizer = build_optimizer(network, [proxies], optimizer="adamw", lr=0.1, weight_decay=0.1, backbone_lr_ratio=0.1)
    set_lr(optimizer, 0.5, backbone_lr_ratio=0.1)
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {"head": 0.5, "loss": 0.5, "backbone": 0.05}
    )
