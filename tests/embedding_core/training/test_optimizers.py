"""LARS against its formula, and parameter groups that carry the rates and decays asked for."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.seeding import generator
from embedding_core.training.optimizers import LARS, OPTIMIZERS, build_optimizer


def network_of(config: TrainConfig) -> EmbeddingNetwork:
    mean, std = torch.full((1,), 0.3), torch.full((1,), 0.2)
    return build_network(config, shape=(1, 8, 8), mean=mean, std=std, precision="float32")


def optimizer_of(config: TrainConfig, network: EmbeddingNetwork, *of_loss: nn.Parameter) -> torch.optim.Optimizer:
    return build_optimizer(
        network,
        of_loss,
        optimizer=config.optimizer,
        lr=config.lr,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        beta2=config.beta2,
        backbone_lr_ratio=config.backbone_lr_ratio,
    )


def parameter(values: list[list[float]] | list[float], gradient: list[list[float]] | list[float]) -> nn.Parameter:
    w = nn.Parameter(torch.tensor(values, dtype=torch.float64))
    w.grad = torch.tensor(gradient, dtype=torch.float64)
    return w


def test_trust_divides_by_the_sum_of_the_norms() -> None:
    w = parameter([[3.0, 4.0]], [[-0.8, 0.6]])
    LARS([w], lr=1.0, momentum=0.0, weight_decay=0.1, trust=0.001).step()
    step = torch.tensor([[3.0, 4.0]], dtype=torch.float64) - w.detach()
    direction = torch.tensor([[-0.8 + 0.3, 0.6 + 0.4]], dtype=torch.float64)
    torch.testing.assert_close(step, 0.00333333 * direction, rtol=1e-5, atol=0)  # the other family: .00447214


def test_biases_are_neither_adapted_nor_decayed() -> None:
    w = parameter([3.0, 4.0], [-0.8, 0.6])
    LARS([w], lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(w.detach(), torch.tensor([3.4, 3.7], dtype=torch.float64))


def test_a_weight_of_norm_zero_can_move() -> None:
    w = parameter([[0.0, 0.0]], [[-0.8, 0.6]])
    LARS([w], lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(w.detach(), torch.tensor([[0.4, -0.3]], dtype=torch.float64))


def test_without_gradient_and_decay_nothing_moves() -> None:
    w, unused = parameter([[3.0, 4.0]], [[0.0, 0.0]]), nn.Parameter(torch.ones(2, 2))
    LARS([w, unused], lr=0.5).step()
    assert w.tolist() == [[3.0, 4.0]]
    assert unused.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_the_closure_is_evaluated_with_gradients() -> None:
    w = nn.Parameter(torch.ones(1, 2))

    def closure() -> float:
        loss = (w**2).sum()
        loss.backward()
        return loss.item()

    assert LARS([w], lr=1.0).step(closure) == 2.0
    assert (w < 1).all()


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**31),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    weight_decay=st.sampled_from([0.0, 1e-4, 0.1]),
    trust=st.sampled_from([0.001, 0.02]),
)
def test_lars_is_its_formula_over_steps_of_changing_rate(
    seed: int, momentum: float, weight_decay: float, trust: float
) -> None:
    draws = torch.Generator().manual_seed(seed)
    shapes = [(4, 3), (2, 3, 3, 3), (5,)]
    weights = [nn.Parameter(torch.randn(shape, generator=draws, dtype=torch.float64)) for shape in shapes]
    expected = [w.detach().clone() for w in weights]
    buffers = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
    optimizer = LARS(weights, lr=1.0, momentum=momentum, weight_decay=weight_decay, trust=trust)
    for lr in (0.1, 0.3, 0.3, 0.05):
        optimizer.param_groups[0]["lr"] = lr
        for i, w in enumerate(weights):
            g = torch.randn(w.shape, generator=draws, dtype=torch.float64)
            w.grad = g.clone()
            e = expected[i]
            if e.ndim == 1:
                buffers[i] = momentum * buffers[i] + lr * g
            else:
                length, slope = e.square().sum().sqrt(), g.square().sum().sqrt()
                ratio = trust * length / (slope + weight_decay * length + 1e-8)
                buffers[i] = momentum * buffers[i] + lr * ratio * (g + weight_decay * e)
            expected[i] = e - buffers[i]
        optimizer.step()
    for w, e in zip(weights, expected, strict=True):
        torch.testing.assert_close(w.detach(), e, rtol=1e-12, atol=1e-12)


def test_lars_goes_on_from_its_state() -> None:
    def run(interrupted: bool) -> Tensor:
        draws = generator(0, "test")
        w = nn.Parameter(torch.randn(3, 2, generator=draws))
        optimizer = LARS([w], lr=1.0)
        for step in range(6):
            if interrupted and step == 3:
                state = optimizer.state_dict()
                optimizer = LARS([w], lr=9.0)
                optimizer.load_state_dict(state)
            w.grad = torch.randn(3, 2, generator=draws)
            optimizer.step()
        return w.detach()

    assert torch.equal(run(True), run(False))


def group_parameters(optimizer: torch.optim.Optimizer, name: str) -> list[Tensor]:
    return [p for group in optimizer.param_groups if group["name"] == name for p in group["params"]]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_hold_every_parameter_once_at_its_rate(name: str) -> None:
    config = TrainConfig(optimizer=name, lr=0.01, weight_decay=0.1, backbone_lr_ratio=0.1)
    network, proxies = network_of(config), nn.Parameter(torch.ones(3, 64))
    optimizer = optimizer_of(config, network, proxies)
    assert type(optimizer) is OPTIMIZERS[name]
    assert optimizer.param_groups[0]["name"] == "head"
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {"head": 0.01, "loss": 0.01, "backbone": 0.001}
    )
    for group, expected in (
        ("head", list(network.head.parameters())),
        ("loss", [proxies]),
        ("backbone", list(network.backbone.parameters())),
    ):
        assert {id(p) for p in group_parameters(optimizer, group)} == {id(p) for p in expected}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 1 + len(list(network.parameters()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_untrained_last_layer_is_in_no_group(name: str) -> None:
    config = TrainConfig(optimizer=name, weight_decay=0.1, head="mlp", train_last_layer=False)
    network = network_of(config)
    optimizer = optimizer_of(config, network)
    last = network.head[-1]
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert known == {id(p) for p in network.parameters()} - {id(last.weight), id(last.bias)}


def test_no_group_without_parameters() -> None:
    config = TrainConfig(optimizer="adamw", weight_decay=0.1, head="study3")
    names = [group["name"] for group in optimizer_of(config, network_of(config)).param_groups]
    assert names == ["head", "head", "backbone", "backbone"]


@pytest.mark.parametrize(
    ("name", "decays_biases"), [("adam", True), ("rmsprop", True), ("sgd", True), ("adamw", False), ("lars", False)]
)
def test_weight_decay_reaches_what_it_should(name: str, decays_biases: bool) -> None:
    """Gradients of zero leave weight decay alone at work."""
    config = TrainConfig(optimizer=name, lr=0.5, weight_decay=0.1)
    network = network_of(config)
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    before = [p.detach().clone() for p in network.parameters()]
    optimizer_of(config, network).step()
    for p, old in zip(network.parameters(), before, strict=True):
        nonzero = old != 0  # a bias of zero decays to zero
        moved = not torch.equal(p[nonzero], old[nonzero])
        assert moved == (bool(nonzero.any()) and (p.ndim > 1 or decays_biases))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimiser_is_torchs_own(name: str) -> None:
    """With one rate and no decay the groups make no difference."""
    config = TrainConfig(optimizer=name, lr=0.01, momentum=0.7, beta2=0.9)
    ours, theirs = network_of(config), network_of(config)
    settings = {"momentum": 0.7} if name in ("sgd", "lars") else {"betas": (0.9, 0.9)} if "adam" in name else {}
    expected = OPTIMIZERS[name](theirs.parameters(), lr=0.01, **settings | ({"weight_decay": 0.0}))
    optimizer = optimizer_of(config, ours)
    for step in range(3):
        for network in (ours, theirs):
            draws = generator(step, "test")
            for p in network.parameters():
                p.grad = torch.randn(p.shape, generator=draws)
        optimizer.step()
        expected.step()
    for p, e in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, e, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_run_that_began_unfused_goes_on_so_to_the_bit(name: str) -> None:
    """Checkpoints of earlier versions hold such a state; both kinds hold the same."""

    def run(fused: bool, steps: range, state: dict[str, Any] | None = None) -> tuple[list[Tensor], dict[str, Any]]:
        network = network_of(TrainConfig())
        optimizer = build_optimizer(network, [], optimizer=name, lr=0.01, weight_decay=0.1)
        assert all(group["fused"] for group in optimizer.param_groups)
        if not fused:
            for group in optimizer.param_groups:
                group["fused"] = None
        if state is not None:
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
        for step in steps:
            draws = generator(step, "test")
            for p in network.parameters():
                p.grad = torch.randn(p.shape, generator=draws)
            optimizer.step()
        kept = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        return [p.detach() for p in network.parameters()], deepcopy(kept)

    whole, state = run(fused=False, steps=range(4))
    halfway = run(fused=False, steps=range(2))[1]
    resumed, _ = run(fused=True, steps=range(2, 4), state=halfway)
    assert all(torch.equal(p, q) for p, q in zip(resumed, whole, strict=True))
    fused, of_fused = run(fused=True, steps=range(4))
    assert any(not torch.equal(p, q) for p, q in zip(fused, whole, strict=True)), "rounding tells the two apart"
    for p, q in zip(fused, whole, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    assert of_fused["optimizer"]["state"][0].keys() == state["optimizer"]["state"][0].keys()
    again, _ = run(fused=True, steps=range(2, 4), state=run(fused=True, steps=range(2))[1])
    assert all(torch.equal(p, q) for p, q in zip(again, fused, strict=True))


def test_an_optimizer_needs_no_configuration_and_no_unknown_name() -> None:
    network = network_of(TrainConfig())
    optimizer = build_optimizer(network, iter(()), optimizer="sgd", lr=0.3)
    assert {(group["name"], group["lr"], group["momentum"]) for group in optimizer.param_groups} == {
        ("head", 0.3, 0.9),
        ("backbone", 0.3, 0.9),
    }
    with pytest.raises(ValueError, match="Did you mean `adamw`"):
        build_optimizer(network, [], optimizer="adamww", lr=0.3)
