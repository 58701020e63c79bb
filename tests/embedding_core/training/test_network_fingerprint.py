"""A network that is not the one asked for, in a way that no field tells: named, with both values, and another hash."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.models import network as networks
from embedding_core.models.backbones import build_backbone
from embedding_core.models.network import EmbeddingNetwork, build_network, set_frozen
from embedding_core.train import train
from embedding_core.training.network_fingerprint import network_differences, weights_differences

CONFIG = TrainConfig(backbone="small_cnn", norm_kind="group", head="mlp", embedding_dim=8)


class Own(nn.Module):
    """Not a network of ours: a scale that torch does not print, a counter, and a norm of its own choice."""

    def __init__(self, scale: float = 1.0, width: int = 24) -> None:
        super().__init__()
        self.scale = scale
        self.calls = 0
        self.layer = nn.Linear(1, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.norm(self.layer(self.scale * x.mean(dim=(1, 2, 3))[:, None]))


class Counting(Own):
    """Looks at its numbers while it is made, which those on `meta` do not have."""

    def __init__(self) -> None:
        super().__init__(width=8 if float(torch.linspace(0, 1, 3)[1]) == 0.5 else 9)


def four_convolutions(widths: tuple[int, ...], kernel: int = 3) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip((1, *widths), widths, strict=False):
        layers += [nn.Conv2d(before, after, kernel, padding=1), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()]
    return nn.Sequential(*layers)


def live(config: TrainConfig = CONFIG, shape: tuple[int, int, int] = (1, 8, 8)) -> EmbeddingNetwork:
    half = torch.full((shape[0],), 0.5)
    return build_network(config, shape=shape, mean=half, std=half, precision="float32")


def differing(network: EmbeddingNetwork, config: TrainConfig = CONFIG, *, frozen: bool = False) -> tuple[str, ...]:
    return network_differences(config, network, frozen=frozen, optimized={id(p) for p in network.parameters()})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "side", "settings"),
    [
        ("small_cnn", 8, {}), ("vgg11", 32, {"norm_kind": "none"}), ("alexnet", 63, {"norm_kind": "none"}),
        ("vit_tiny", 8, {"norm_kind": "none"}), ("resnet18", 8, {}), ("resnet18", 64, {"norm_kind": "batch"}),
        ("efficientnet_v2_s", 16, {}), ("efficientnet_v2_s", 16, {"head": "study2"}), ("efficientnet_lite0", 32, {}),
    ],
)  # fmt: skip
def test_each_backbone_is_the_one_asked_for_and_nothing_is_drawn(
    backbone: str, side: int, settings: dict[str, str]
) -> None:
    config = replace(CONFIG, **{"backbone": backbone, "head": "linear"} | settings)
    network = live(config, (3, side, side))
    state = torch.random.get_rng_state()
    assert differing(network, config) == ()
    assert torch.equal(torch.random.get_rng_state(), state)
    set_frozen(network, True)
    assert differing(network, config, frozen=True) == ()


def test_an_unknown_backbone_is_described_by_its_layers() -> None:
    network = live()
    network.backbone = Own()
    found = differing(network)
    assert any(clause.startswith("`backbone` is ") and "Own(scale=1.0, width" not in clause for clause in found)
    assert "`backbone.layer.weight` is [24, 1] of float32, trained, where nothing was asked for" in found
    assert any(clause.startswith("`backbone.0` is missing, not torch.nn.modules.conv.Conv2d(1, 32") for clause in found)


@pytest.mark.parametrize("kind", [Own, Counting])
def test_any_module_may_be_asked_for(monkeypatch: pytest.MonkeyPatch, kind: type[Own]) -> None:
    monkeypatch.setattr(networks, "build_backbone", lambda *of, **settings: kind())
    network = live()
    assert differing(network) == ()
    network.backbone.calls = 7  # its state
    assert differing(network) == ()
    network.backbone.scale = 2.0  # its setting
    (clause,) = differing(network)
    assert clause.startswith("`backbone` is ")
    assert clause.count("scale=") == 2
    assert "scale=2.0" in clause.split(", not ")[0]


def test_as_many_convolutions_do_not_make_the_same_network() -> None:
    network = live()
    network.backbone = four_convolutions((32, 64, 128, 128))
    assert any("`backbone.2` is torch.nn.modules.activation.ReLU()" in clause for clause in differing(network))


def test_a_doubled_network() -> None:
    network = live()
    network.backbone = nn.Sequential(network.backbone, nn.Identity())
    assert "`backbone.0` is torch.nn.modules.container.Sequential(), not torch.nn.modules.conv.Conv2d(1, 32, " in (
        "\n".join(differing(network))
    )
    wide = live()
    wide.backbone[-4] = nn.Conv2d(128, 256, 3, padding=1, bias=False)
    assert "`backbone.12.weight` is [256, 128, 3, 3] of float32, trained, not [128, 128, 3, 3] of float32, trained" in (
        differing(wide)
    )


def test_a_frozen_network_and_a_layer_that_the_optimizer_does_not_know() -> None:
    network = live()
    last = network.backbone[-4].weight
    expected = (
        "`backbone.12.weight` is [128, 128, 3, 3] of float32, frozen, not [128, 128, 3, 3] of float32, trained",
    )
    optimized = {id(p) for p in network.parameters() if p is not last}
    assert network_differences(CONFIG, network, frozen=False, optimized=optimized) == expected
    last.requires_grad_(False)
    assert differing(network) == expected
    set_frozen(network, True)
    assert len(differing(network)) == len(list(network.backbone.parameters()))
    assert differing(live(), frozen=True) == tuple(
        clause.replace("frozen", "x").replace("trained", "frozen").replace("x", "trained")
        for clause in differing(network)
    )


def test_a_bf16_network() -> None:
    network = live()
    network.backbone.bfloat16()
    found = differing(network)
    assert len(found) == len(list(network.backbone.parameters()))
    assert (
        found[0] == "`backbone.0.weight` is [32, 1, 3, 3] of bfloat16, trained, not [32, 1, 3, 3] of float32, trained"
    )


@pytest.mark.slow
def test_a_setting_that_has_no_parameter() -> None:
    config = replace(CONFIG, backbone="efficientnet_v2_s", dropout=0.2)
    network = live(config, (3, 16, 16))
    drop = network.get_submodule("backbone.2.1.stochastic_depth")
    drop.p, asked = 0.9, drop.p
    network.head[3].p = 0.3  # the last dropout
    found = differing(network, config)
    assert [clause.split(" is ")[0] for clause in found] == ["`backbone.2.1.stochastic_depth`", "`head.3`"]
    assert f"(p=0.9, mode='row'), not torchvision.ops.stochastic_depth.StochasticDepth(p={asked}, " in found[0]


@pytest.mark.parametrize("settings", [{}, {"backbone": "resnet18", "norm_kind": "batch"}])
def test_other_weights(tmp_path: Path, settings: dict[str, str]) -> None:
    first, second = (live(replace(CONFIG, seed=seed, **settings), (3, 8, 8)) for seed in (0, 1))
    torch.save(first.backbone.state_dict(), tmp_path / "first.pt")
    config = replace(CONFIG, weights=str(tmp_path / "first.pt"), **settings)
    network = live(config, (3, 8, 8))
    assert weights_differences(config, network) == differing(network, config) == ()
    found = weights_differences(config, second)
    drawn = [name for name, p in second.backbone.named_parameters() if p.ndim > 1]
    assert [clause.split("`")[1] for clause in found] == [f"backbone.{name}" for name in drawn]
    here, there = (of.backbone.state_dict()[drawn[0]].flatten()[0].item() for of in (second, first))
    assert found[0] == f"`backbone.{drawn[0]}` holds {here:.6g}, not {there:.6g} as in weights={config.weights}"


def changed_after(step: Callable[..., object], change: Callable[[EmbeddingNetwork], object]) -> Callable[..., object]:
    def built(*of: object, **settings: object) -> object:
        network = step(*of, **settings)
        assert isinstance(network, EmbeddingNetwork)
        change(network)
        return network

    return built


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda network: network.backbone.append(nn.Dropout(0.5)), "`backbone.16` is "),
        (lambda network: network.backbone.__setitem__(0, nn.Conv2d(1, 32, 3, 1, 1)), "`backbone.0` is "),
        (lambda network: network.std.mul_(2), "`std` of pixels is "),
    ],
)
def test_a_run_of_such_a_network_says_so_in_every_row(
    small: Callable[..., TrainConfig],
    digits: DeviceData,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[EmbeddingNetwork], object],
    told: str,
) -> None:
    monkeypatch.setattr("embedding_core.train.build_network", changed_after(build_network, change))
    config = small(epochs=2)
    rows = list(train(config, data=digits))
    assert all(row["config_seen_sha256"] != config.sha256 for row in rows)
    assert len({row["config_seen_sha256"] for row in rows}) == 1
    assert all(row["config_seen_differences"].startswith(told) for row in rows)


def test_a_run_whose_backbone_stays_frozen_says_so(
    small: Callable[..., TrainConfig], digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedding_core.train.set_frozen", lambda network, frozen: set_frozen(network, True))
    (row,) = train(small(epochs=1), data=digits)
    assert row["config_seen_sha256"] != row["config_sha256"]
    assert row["config_seen_differences"].endswith("; 4 more")
    assert row["config_seen_differences"].count("float32, frozen, not") == 8


def test_a_run_that_begins_with_other_weights_says_so(
    small: Callable[..., TrainConfig], digits: DeviceData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with torch.random.fork_rng():
        torch.save(build_backbone("small_cnn", channels=1, side=(8, 8), norm_kind="group").state_dict(), tmp_path / "w")
    config = small(epochs=1, weights=str(tmp_path / "w"))
    (row,) = train(config, data=digits)
    assert row["config_seen_differences"] is None
    assert row["config_seen_sha256"] == config.sha256

    def other(network: EmbeddingNetwork) -> None:
        with torch.no_grad():
            network.backbone[0].weight[0] += 1

    monkeypatch.setattr("embedding_core.train.build_network", changed_after(build_network, other))
    (row,) = train(config, data=digits)
    assert row["config_seen_differences"].startswith("`backbone.0.weight` holds ")
    assert row["config_seen_sha256"] != config.sha256
