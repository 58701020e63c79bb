"""ArcFace and softmax cross-entropy against the definition, at angles worked out by hand, on and opposite a proxy."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from embedding_core.losses.classification import ArcFace, SoftmaxClassifier


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arcface(proxies: Tensor, **settings: float) -> ArcFace:
    head = ArcFace(proxies.shape[1], len(proxies), **settings).to(proxies.dtype)
    head.weight.data.copy_(proxies)
    return head


def naive_arcface(z: Tensor, labels: Tensor, proxies: Tensor, scale: float, margin: float) -> float:
    losses = []
    for x, label in zip(z, labels.tolist(), strict=True):
        logits = []
        for c, proxy in enumerate(proxies):
            cosine = (torch.dot(x, proxy) / (x.norm() * proxy.norm())).item()
            theta = math.acos(min(max(cosine, -1 + 1e-7), 1 - 1e-7))
            if c == label:
                beyond = theta > math.pi - margin
                cosine = math.cos(theta) - margin * math.sin(margin) if beyond else math.cos(theta + margin)
            logits.append(scale * cosine)
        highest = max(logits)
        losses.append(highest + math.log(sum(math.exp(logit - highest) for logit in logits)) - logits[label])
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("degrees", "expected"), [(30, 0.2316193), (150, 119.40652), (160, 135.57318)])
def test_arcface_at_an_angle(degrees: float, expected: float) -> None:
    angle = torch.tensor([math.radians(degrees)], dtype=torch.float64)
    proxies = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    head = arcface(proxies, margin=math.radians(28.6))
    loss = head(torch.stack([angle.cos(), angle.sin()], dim=1), torch.tensor([0]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 10**6), st.sampled_from([1.0, 16.0, 64.0]), st.sampled_from([0.0, 0.5, 1.5]))
def test_arcface_is_the_naive_loop(seed: int, scale: float, margin: float) -> None:
    z, proxies = rows(8, 2, seed), rows(3, 2, seed + 1)
    labels = torch.arange(8) % 3
    loss = arcface(proxies, scale=scale, margin=margin)(z, labels)
    assert loss.item() == pytest.approx(naive_arcface(z, labels, proxies, scale, margin), rel=1e-10, abs=1e-10)


def test_arcface_without_labels_gives_scaled_cosines() -> None:
    z, proxies = rows(6, 4), rows(3, 4, 1)
    cosine = torch.stack([F.cosine_similarity(z, proxy[None], dim=1) for proxy in proxies], dim=1)
    torch.testing.assert_close(arcface(proxies, scale=30.0).logits(z), 30 * cosine)


def test_arcface_margin_lowers_the_target_only_and_falls_with_the_angle() -> None:
    angle = torch.linspace(0, math.pi, 500, dtype=torch.float64)
    z = torch.stack([angle.cos(), angle.sin()], dim=1)
    head = arcface(torch.eye(2, dtype=torch.float64))
    labels = torch.zeros(500, dtype=torch.int64)
    plain, penalised = head.logits(z), head.logits(z, labels)
    assert torch.equal(penalised[:, 1], plain[:, 1])
    assert (penalised[:, 0] < plain[:, 0]).all()
    assert (penalised[1:-1, 0].diff() < 0).all()  # the clamp makes the outermost two equal to their neighbours or so


@pytest.mark.parametrize("sign", [1, -1])
def test_arcface_on_and_opposite_the_proxy_is_that_of_the_clamped_cosine(sign: int) -> None:
    proxies = torch.eye(2, dtype=torch.float64)
    theta = math.acos(sign * (1 - 1e-7))
    expected = math.cos(theta + 0.5) if sign > 0 else math.cos(theta) - 0.5 * math.sin(0.5)
    logits = arcface(proxies, scale=1.0).logits(sign * proxies[:1], torch.tensor([0]))
    assert logits[0, 0].item() == pytest.approx(expected, abs=1e-14)


def test_arcface_gradient_reaches_embeddings_and_proxies() -> None:
    labels = torch.tensor([0, 1, 2, 0, 1])
    head = ArcFace(3, 3, scale=4.0).double()

    def loss(z: Tensor, weight: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(head, {"weight": weight}, (z, labels))
        return result

    assert torch.autograd.gradcheck(loss, (rows(5, 3).requires_grad_(), rows(3, 3, 1).requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_arcface_gradient_is_finite_on_and_opposite_the_proxy(dtype: torch.dtype) -> None:
    """One float32 unit vector in five has a squared length above 1."""
    z = F.normalize(rows(200, 16), dim=1).to(dtype)
    z[100:] = -z[:100]
    head = arcface(z[:100].float())
    z.requires_grad_()
    loss = head(z, torch.arange(200) % 100)
    loss.backward()
    assert loss.isfinite()
    assert z.grad is not None
    assert head.weight.grad is not None
    assert z.grad.isfinite().all()
    assert head.weight.grad.isfinite().all()


def test_softmax_is_cross_entropy_of_a_linear_layer() -> None:
    z, labels = rows(7, 4).float(), torch.arange(7) % 3
    head = SoftmaxClassifier(4, 3)
    torch.testing.assert_close(head.logits(z), z @ head.linear.weight.T + head.linear.bias)
    assert head(z, labels).item() == pytest.approx(F.cross_entropy(head.linear(z), labels).item(), rel=1e-6)


@pytest.mark.parametrize("head", [ArcFace(4, 3), SoftmaxClassifier(4, 3)])
def test_classifiers_compute_in_the_wider_type_and_refuse_foreign_labels(head: nn.Module) -> None:
    labels = torch.arange(7) % 3
    assert head(rows(7, 4), labels).dtype == torch.float64
    assert head(rows(7, 4).half(), labels).dtype == torch.float32
    assert head(rows(7, 4).float(), labels.int()).dtype == torch.float32
    for foreign in (-100, 3):
        with pytest.raises(ValueError, match=r"Labels must be in \[0, 3\)"):
            head(rows(1, 4), torch.tensor([foreign]))


def test_proxies_follow_the_global_seed() -> None:
    def draw(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return ArcFace(4, 3).weight.detach()

    assert draw(1).equal(draw(1))
    assert not draw(1).equal(draw(2))
