"""Accumulation against one backward over the whole batch, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from embedding_core.losses.functional import koleo, triplet_margin
from embedding_core.training.accumulation import StepReport, accumulated_step

BATCH = 24
EXACT = 1e-12
"""Relative difference of two gradients that are equal but for the order of float64 sums."""


def network(norm: str = "none", dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    norms = {"none": nn.Identity(), "group": nn.GroupNorm(2, 8), "batch": nn.BatchNorm2d(8)}
    layers = [
        nn.Conv2d(1, 8, 3, padding=1), norms[norm], nn.ReLU(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(8 * 16, 5),
    ]  # fmt: skip
    return nn.Sequential(*layers).double()


def images(n: int = BATCH) -> Tensor:
    return torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def spread(z: Tensor, part: slice) -> Tensor:
    """A loss that depends on the whole neighbourhood."""
    return koleo(z) + 0.1 * z.square().sum(dim=1).mean()


def per_sample(z: Tensor, part: slice) -> Tensor:
    target = torch.linspace(-1, 1, BATCH, dtype=torch.float64)[part]
    return (z.sum(dim=1) - target).square().mean()


def gradient(module: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def step(net: nn.Module, loss_of: Callable[[Tensor, slice], Tensor], k: int, mode: str, x: Tensor) -> StepReport:
    net.zero_grad(set_to_none=True)
    torch.manual_seed(7)  # dropout
    return accumulated_step(net, x, loss_of, accum_steps=k, mode=mode)


def full_batch(net: nn.Module, loss_of: Callable[[Tensor, slice], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    net.zero_grad(set_to_none=True)
    loss = loss_of(net(x), slice(0, len(x)))
    loss.backward()
    return loss.detach(), gradient(net)


@pytest.mark.parametrize("norm", ["none", "group"])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 7, 8, 24, 100])
def test_cached_is_the_full_batch(norm: str, k: int) -> None:
    net = network(norm)
    loss, expected = full_batch(net, spread, images())
    report = step(net, spread, k, "cached", images())
    assert relative_error(gradient(net), expected) <= EXACT
    assert report.loss.item() == pytest.approx(loss.item(), rel=EXACT)
    torch.testing.assert_close(report.embeddings, net(images()).detach(), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("k", [2, 5, 8])
def test_cached_with_dropout_is_the_chunked_forward_under_the_same_masks(k: int) -> None:
    net = network("group", dropout=0.4)
    report = step(net, spread, k, "cached", images())
    found, after = gradient(net), torch.rand(1)

    net.zero_grad(set_to_none=True)
    torch.manual_seed(7)
    m = -(-BATCH // k)
    z = torch.cat([net(part) for part in images().split(m)])
    spread(z, slice(0, BATCH)).backward()
    assert relative_error(found, gradient(net)) <= EXACT
    assert torch.equal(report.embeddings, z)
    # The stream goes on where one forward pass would have left it.
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_cached_reaches_parameters_of_the_loss_once(k: int) -> None:
    net, proxies = network("group"), nn.Linear(5, 3, bias=False).double()
    labels = torch.arange(BATCH) % 3

    def loss_of(z: Tensor, part: slice) -> Tensor:
        return nn.functional.cross_entropy(proxies(z), labels[part]) + koleo(z)

    both = nn.ModuleList([net, proxies])
    both.zero_grad()
    loss_of(net(images()), slice(0, BATCH)).backward()
    expected = gradient(both)
    both.zero_grad()
    accumulated_step(net, images(), loss_of, accum_steps=k, mode="cached")
    assert relative_error(gradient(both), expected) <= EXACT


def test_cached_with_batch_norm_is_the_chunked_network() -> None:
    net = network("batch")
    step(net, spread, 4, "cached", images())
    found = gradient(net)
    net.zero_grad(set_to_none=True)
    spread(torch.cat([net(part) for part in images().split(6)]), slice(0, BATCH)).backward()
    assert relative_error(found, gradient(net)) <= EXACT


@pytest.mark.parametrize("mode", ["naive", "cached"])
@pytest.mark.parametrize("k", [1, 4, 5])
def test_running_statistics_move_once_per_micro_batch(mode: str, k: int) -> None:
    net, reference = network("batch"), network("batch")
    report = step(net, spread, k, mode, images())
    parts = images().split(-(-BATCH // k))
    for part in parts:
        reference(part)
    assert report.passes == len(parts)
    assert net[1].num_batches_tracked.item() == len(parts)
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(net[1], name), getattr(reference[1], name))
    assert net[1].track_running_stats


def test_running_statistics_are_tracked_again_after_a_failure() -> None:
    net = network("batch")
    with pytest.raises(RuntimeError):
        accumulated_step(net, torch.zeros(8, 3, 4, 4).double(), spread, accum_steps=2, mode="cached")
    assert net[1].track_running_stats


@pytest.mark.parametrize("norm", ["none", "group", "batch"])
def test_one_pass_is_one_pass_in_either_mode(norm: str) -> None:
    found = {}
    for mode in ("naive", "cached"):
        net = network(norm, dropout=0.3)
        report = step(net, spread, 1, mode, images())
        found[mode] = (report.loss, report.embeddings, gradient(net))
        assert (report.passes, report.mode) == (1, mode)
    for naive, cached in zip(found["naive"], found["cached"], strict=True):
        assert torch.equal(naive, cached)


@pytest.mark.parametrize("k", [2, 5, 7, 24])
def test_a_per_sample_loss_does_not_see_accumulation(k: int) -> None:
    """Uneven micro-batches included: each weighs by its own count."""
    net = network("group")
    loss, expected = full_batch(net, per_sample, images())
    report = step(net, per_sample, k, "naive", images())
    assert relative_error(gradient(net), expected) <= EXACT
    assert report.loss.item() == pytest.approx(loss.item(), rel=EXACT)


def test_a_triplet_loss_does_not_see_accumulation_and_koleo_does() -> None:
    net = network("group")
    x = images().unflatten(0, (8, 3))

    def forward(inputs: Tensor) -> Tensor:
        z: Tensor = net(inputs.flatten(0, 1))
        return z.unflatten(0, (len(inputs), 3))

    def loss_of(z: Tensor, part: slice, weight: float) -> Tensor:
        loss = triplet_margin(z[:, 0], z[:, 1], z[:, 2], margin=0.4, distance="cosine")
        return loss + weight * koleo(z.flatten(0, 1))

    errors = []
    for weight in (0.0, 1.0):
        gradients = []
        for k in (1, 3):
            net.zero_grad(set_to_none=True)
            accumulated_step(forward, x, lambda z, part, w=weight: loss_of(z, part, w), accum_steps=k, mode="naive")
            gradients.append(gradient(net))
        errors.append(relative_error(gradients[1], gradients[0]))
    assert errors[0] <= EXACT
    assert errors[1] > 1e-2


def test_naive_koleo_is_the_full_batch_in_groups() -> None:
    net = network("group")
    _, expected = full_batch(net, lambda z, part: koleo(z, group_size=6), images())
    step(net, lambda z, part: koleo(z), 4, "naive", images())
    assert relative_error(gradient(net), expected) <= EXACT


@pytest.mark.parametrize("mode", ["naive", "cached"])
def test_the_loss_gets_the_slice_its_embeddings_belong_to(mode: str) -> None:
    net = network("group")
    seen = []

    def loss_of(z: Tensor, part: slice) -> Tensor:
        seen.append(part)
        torch.testing.assert_close(z, net(images())[part], rtol=EXACT, atol=EXACT)
        return z.mean()

    report = step(net, loss_of, 5, mode, images())
    expected = [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20), slice(20, 24)]
    assert seen == (expected if mode == "naive" else [slice(0, 24)])
    assert report.passes == 5


@pytest.mark.parametrize("mode", ["naive", "cached"])
def test_gradients_are_added_and_reports_detached(mode: str) -> None:
    net = network("group")
    report = step(net, spread, 3, mode, images())
    once = gradient(net)
    accumulated_step(net, images(), spread, accum_steps=3, mode=mode)
    torch.testing.assert_close(gradient(net), 2 * once, rtol=1e-10, atol=1e-12)
    assert not report.loss.requires_grad
    assert not report.embeddings.requires_grad


def test_what_cannot_be_accumulated_is_refused() -> None:
    net = network()
    with pytest.raises(ValueError, match="Did you mean `cached`"):
        step(net, spread, 2, "cache", images())
    with pytest.raises(ValueError, match="accum_steps=0"):
        step(net, spread, 0, "naive", images())
    with pytest.raises(ValueError, match="b=0"):
        step(net, spread, 1, "naive", images(0))
