"""Networks: unit embeddings of any view layout, heads as written down, the same start for every arm, freezing."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from embedding_core.models.network import EmbeddingNetwork, build_network, describe, set_frozen
from embedding_core.seeding import generator, stream
from embedding_core.training.accumulation import accumulated_step

BATCH = {"norm_kind": "batch"}
STUDY2 = {"head": "study2", "dropout": 0.2}


def build(shape: tuple[int, int, int] = (1, 8, 8), precision: str = "float32", **settings: object) -> EmbeddingNetwork:
    mean, std = torch.full((shape[0],), 0.3), torch.full((shape[0],), 0.2)
    return build_network(TrainConfig.from_flat(settings), shape=shape, mean=mean, std=std, precision=precision)


def images(n: int, shape: tuple[int, int, int] = (1, 8, 8)) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), generator=generator(0, "test"), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 8, 8), {"norm_kind": "group"}), ((3, 32, 32), {"norm_kind": "batch"}), ((3, 5, 9), {"norm_kind": "none"}),
        ((3, 8, 8), {"head": "mlp", "head_layers": 2, "head_width": 24}), ((3, 8, 8), {"head": "mlp", **BATCH}),
        ((3, 32, 32), STUDY2), ((3, 32, 40), STUDY2 | BATCH), ((1, 8, 8), {"head": "study3", "dropout": 0.25}),
        ((1, 8, 8), {"input_scaling": "imagenet", "dropout": 0.5}),
    ],
)  # fmt: skip
def test_embeddings_have_unit_length(shape: tuple[int, int, int], settings: dict[str, object]) -> None:
    network = build(shape, embedding_dim=17, **settings).eval()
    with torch.no_grad():
        z = network(images(6, shape))
        views = network(images(6, shape).unflatten(0, (2, 3)))
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(6))
    assert z.std(dim=0).max() > 0  # the images differ, and so do their embeddings
    torch.testing.assert_close(views, z.unflatten(0, (2, 3)))


def test_embeddings_of_any_length_point_where_those_of_unit_length_do() -> None:
    unit, free = (build(loss="nt_xent", similarity=similarity).eval() for similarity in ("cosine", "dot"))
    z = free(images(6))
    assert (unit.unit, free.unit, build(similarity="dot").unit) == (True, False, True)  # of other losses, no matter
    assert z.norm(dim=1).std() > 0
    torch.testing.assert_close(F.normalize(z, dim=1), unit(images(6)))
    torch.testing.assert_close(free(images(6).unflatten(0, (2, 3))), z.unflatten(0, (2, 3)))


def test_pixels_are_scaled_by_mean_and_deviation() -> None:
    scaled = build()
    plain = build()
    plain.mean.fill_(0)
    plain.std.fill_(1)
    seen = []
    for network in (scaled, plain):
        network.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        network(images(2))
    torch.testing.assert_close(seen[0], (seen[1] - 0.3) / 0.2)
    torch.testing.assert_close(seen[1], images(2) / 255)


def test_bf16_is_the_backbones_alone() -> None:
    network = build(precision="bf16").eval()
    features = []
    network.backbone.register_forward_hook(lambda module, inputs, output: features.append(output))
    z = network(images(4))
    assert features[0].dtype == torch.bfloat16
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4))


def test_every_arm_of_a_block_starts_from_the_same_weights() -> None:
    base = build(seed=3).state_dict()
    torch.rand(5)  # the global stream has no say
    other = build(seed=3, koleo=True, koleo_weight=0.1, accum_steps=4, lr=0.1, optimizer="rmsprop").state_dict()
    assert all(torch.equal(base[name], other[name]) for name in base)
    assert not torch.equal(base["head.weight"], build(seed=4).state_dict()["head.weight"])


def test_building_a_network_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("kind", "module"), [("group", nn.GroupNorm), ("batch", nn.BatchNorm2d), ("none", None)])
def test_norm_kind_is_the_only_norm(kind: str, module: type[nn.Module] | None) -> None:
    norms = [m for m in build(norm_kind=kind).modules() if isinstance(m, nn.GroupNorm | nn.BatchNorm2d)]
    assert len(norms) == (0 if module is None else 4)
    assert all(type(norm) is module for norm in norms)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_features_are_what_a_linear_head_sees(precision: str) -> None:
    network = build(precision=precision).eval()
    with torch.no_grad():
        features = network.features(images(4).unflatten(0, (2, 2)))
        assert features.shape == (2, 2, 128)
        assert features.dtype == torch.float32
        z = F.normalize(network.head(features.flatten(0, 1)), dim=1)
        torch.testing.assert_close(network(images(4)), z)


def test_imagenet_scaling_takes_no_notice_of_the_training_images() -> None:
    network = build((1, 8, 8), input_scaling="imagenet")
    seen = []
    network.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(images(2))
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        torch.testing.assert_close(seen[0][:, channel], (images(2)[:, 0] / 255 - mean) / std)


def maps_of(network: EmbeddingNetwork, batch: torch.Tensor) -> torch.Tensor:
    """Feature maps of the backbone, pixels scaled as `build` says."""
    return network.backbone((batch / 255 - 0.3) / 0.2)


@pytest.mark.parametrize("layers", [1, 6])
def test_projection_head_is_linear_norm_relu_then_linear(layers: int) -> None:
    network = build(head="mlp", head_layers=layers, head_width=20, embedding_dim=7, norm_kind="batch")
    kinds = [type(layer) for layer in network.head]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * layers + [nn.Linear]
    x = maps_of(network, images(9)).mean(dim=(2, 3))
    for i in range(layers):
        x = x @ network.head[3 * i].weight.T
        x = ((x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()).relu()
    z = x @ network.head[-1].weight.T + network.head[-1].bias
    torch.testing.assert_close(network(images(9)), z / z.norm(dim=1, keepdim=True))


def test_groups_of_a_vector_are_the_whole_vector() -> None:
    network = build(head="mlp", head_width=20)
    x = torch.randn(3, 20, generator=generator(0, "test"))
    torch.testing.assert_close(network.head[1](x), F.layer_norm(x, (20,)))


def test_study3_head_is_mean_and_max_norm_dropout_linear_without_bias() -> None:
    network = build(head="study3", dropout=0.25, embedding_dim=7, norm_kind="batch")
    assert [type(layer) for layer in network.head] == [nn.BatchNorm1d, nn.Dropout, nn.Linear]
    assert network.head[1].p == 0.25
    network.eval()
    maps = maps_of(network, images(5)).flatten(2)
    x = torch.cat([maps.mean(dim=2), maps.max(dim=2).values], dim=1)
    z = F.batch_norm(x, torch.zeros(256), torch.ones(256)) @ network.head[2].weight.T
    torch.testing.assert_close(network(images(5)), z / z.norm(dim=1, keepdim=True))


def test_study2_head_is_convolutions_pool_linear_and_dropout_of_the_embedding() -> None:
    shape = (3, 32, 32)
    network = build(shape, **STUDY2 | BATCH, embedding_dim=9)
    assert isinstance(network.head[-1], nn.Dropout)
    network.eval()
    x = maps_of(network, images(5, shape))
    for i in (0, 3):
        x = F.conv2d(x, network.head[i].weight, network.head[i].bias, padding=1)
        x = F.batch_norm(x, torch.zeros(64), torch.ones(64)).relu()
    x = F.max_pool2d(x, 2).flatten(1)
    z = F.leaky_relu(x @ network.head[8].weight.T + network.head[8].bias, 0.01)
    torch.testing.assert_close(network(images(5, shape)), z / z.norm(dim=1, keepdim=True))


def test_study2_head_leaves_no_position_out() -> None:
    """At 48 pixels `small_cnn` has 3x3 positions."""
    network = build((3, 48, 48), **STUDY2).eval()
    maps = maps_of(network, images(4, (3, 48, 48)))
    assert maps.shape == (4, 128, 3, 3)
    x = network.head[:6](maps)
    parts = [x[:, :, rows, columns].amax(dim=(2, 3)) for rows in (slice(2), slice(2, 3)) for columns in
             (slice(2), slice(2, 3))]  # fmt: skip
    torch.testing.assert_close(network.head[:8](maps), torch.stack(parts, dim=2).flatten(1))


def test_study2_head_needs_a_map_to_pool() -> None:
    with pytest.raises(Faults, match="at least 2x2 positions, but got 1x1"):
        build((1, 8, 8), **STUDY2)


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"norm_kind": "batch", "dropout": 0.5, "embedding_dim": 16}, {"norm_kind": "none"},
        {"head": "mlp", "head_layers": 6, "head_width": 10, "dropout": 0.1}, {"head": "study3", **BATCH},
        {"head": "study2", "dropout": 0.2}, {"input_scaling": "imagenet", "head": "mlp", "norm_kind": "none"},
    ],
)  # fmt: skip
def test_live_layers_tell_the_config(settings: dict[str, object]) -> None:
    config = TrainConfig.from_flat(settings)
    told = describe(build((3, 32, 32), **settings), backbone="small_cnn")
    for name in ("norm_kind", "input_scaling", "head", "dropout", "embedding_dim"):
        assert told[name] == getattr(config, name)
    if config.head == "mlp":
        assert (told["head_layers"], told["head_width"]) == (config.head_layers, config.head_width or 128)


def test_layers_put_in_afterwards_are_told() -> None:
    network = build(**BATCH)
    network.head = nn.Sequential(nn.Linear(128, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 3))
    told = describe(network, backbone="small_cnn")
    assert (told["head"], told["head_width"], told["embedding_dim"], told["dropout"]) == ("mlp", 5, 3, 0.3)


def running_statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.named_buffers() if "running" in name}


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    network = build(head="mlp", **BATCH)
    set_frozen(network, True)
    network.eval()
    network.train()  # as the loop does after each evaluation
    assert network.frozen
    before = running_statistics(network.backbone)
    head_before = running_statistics(network.head)
    assert not network.features(images(4)).requires_grad  # no graph is kept
    network(images(4)).sum().backward()
    assert all(p.grad is None for p in network.backbone.parameters())
    assert all(p.grad is not None for p in network.head.parameters())
    after = running_statistics(network.backbone)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(head_before["1.running_mean"], running_statistics(network.head)["1.running_mean"])


def test_an_unfrozen_backbone_trains_again() -> None:
    network = build(**BATCH).train()
    set_frozen(network, True)
    set_frozen(network, False)
    assert not network.frozen
    before = running_statistics(network.backbone)
    network(images(4)).sum().backward()
    assert all(p.grad is not None for p in network.backbone.parameters())
    after = running_statistics(network.backbone)
    assert not any(torch.equal(before[name], after[name]) for name in before)


def test_freezing_in_evaluation_mode_stays_there() -> None:
    network = build(dropout=0.5).eval()
    set_frozen(network, True)
    set_frozen(network, False)
    assert not any(module.training for module in network.modules())


def test_frozen_batch_norm_makes_no_difference_between_micro_batches() -> None:
    """Cached accumulation over a frozen BatchNorm is the full batch, and leaves its statistics alone."""
    network = build(**BATCH)
    set_frozen(network, True)
    network.train()
    before = running_statistics(network.backbone)
    gradients = []
    for mode, accum_steps in (("naive", 1), ("cached", 3)):
        network.zero_grad()
        accumulated_step(network, images(8), lambda z, rows: (z @ z.T).exp().sum(), accum_steps=accum_steps, mode=mode)
        gradients.append(network.head.weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1])
    after = running_statistics(network.backbone)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("head", ["linear", "mlp", "study2", "study3"])
def test_thawing_the_backbone_does_not_thaw_the_last_layer(head: str) -> None:
    network = build((3, 32, 32), head=head, train_last_layer=False, dropout=0.1)
    for frozen in (True, False):
        set_frozen(network, frozen)
        last = [module for module in network.head.modules() if isinstance(module, nn.Linear)][-1]
        still = {name for name, p in network.named_parameters() if not p.requires_grad}
        expected = {name for name, p in network.named_parameters() if any(p is q for q in last.parameters())}
        assert still == expected | {f"backbone.{name}" for name, _ in network.backbone.named_parameters() if frozen}


def test_streams_are_separate_and_stable() -> None:
    roles = [(seed, role, epoch) for seed in range(3) for role in ("order", "augmentation") for epoch in range(3)]
    assert len({stream(*role) for role in roles}) == len(roles)
    # A change of this number changes every published run.
    assert stream(0, "order", 0) == 1864822792221289227
