"""Losses and miners against pytorch-metric-learning, lightly and torch, values and gradients, on random inputs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import KoLeoLoss
from lightly.loss import NTXentLoss as LightlyNTXent
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from embedding_core.losses.classification import ArcFace, SoftmaxClassifier
from embedding_core.losses.functional import koleo, nt_xent, triplet_margin
from embedding_core.losses.miners import Triplets, mine

seeds = st.integers(0, 10**6)

PML_DISTANCES = {
    "l2": pml_distances.LpDistance(normalize_embeddings=False),
    "sql2": pml_distances.LpDistance(normalize_embeddings=False, power=2),
    "cosine": pml_distances.CosineSimilarity(),
}


def rows(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_labels(n: int, classes: int, seed: int) -> Tensor:
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


def assert_same(ours: Tensor, theirs: Tensor, inputs: list[Tensor], *, rtol: float = 1e-8) -> None:
    """Value and gradient."""
    assert ours.item() == pytest.approx(theirs.item(), rel=rtol, abs=1e-12)
    gradients, references = torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs)
    for gradient, reference in zip(gradients, references, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=rtol, atol=1e-9)


def hinge_mean(z: Tensor, t: Triplets, margin: float, distance: str) -> Tensor:
    return triplet_margin(*t.embeddings(z), margin=margin, distance=distance)


@pytest.mark.parametrize("distance", PML_DISTANCES)
@settings(max_examples=25)
@given(seed=seeds, n=st.integers(6, 40), margin=st.sampled_from([0.2, 1.0]))
def test_all_triplets_are_pmls(distance: str, seed: int, n: int, margin: float) -> None:
    z, labels = rows(n, 4, seed).requires_grad_(), torch.arange(n) % 3
    triplets = mine(z, labels, positive="all", negative="all", margin=margin, distance=distance)
    peer = pml_losses.TripletMarginLoss(margin=margin, distance=PML_DISTANCES[distance], reducer=MeanReducer())
    assert_same(hinge_mean(z, triplets, margin, distance), peer(z, labels), [z])


@pytest.mark.parametrize("distance", PML_DISTANCES)
@pytest.mark.parametrize(("negative", "fallback"), [("hard", "nearest"), ("semihard", "drop")])
@pytest.mark.parametrize("positive", ["easy", "hard"])
@settings(max_examples=20)
@given(seed=seeds, n=st.integers(6, 40), classes=st.integers(2, 6))
def test_one_triplet_per_anchor_is_pmls(
    positive: str, negative: str, fallback: str, distance: str, seed: int, n: int, classes: int
) -> None:
    """PML's semi-hard negatives have no upper limit and no fallback; its hard negatives are the nearest."""
    z, labels = rows(n, 4, seed), random_labels(n, classes, seed)
    triplets = mine(
        z, labels, positive=positive, negative=negative, margin=math.inf, distance=distance, fallback=fallback
    )
    a, p, a_again, k = pml_miners.BatchEasyHardMiner(positive, negative, distance=PML_DISTANCES[distance])(z, labels)
    assert torch.equal(a, a_again)
    for ours, theirs in zip(triplets, (a, p, k), strict=True):
        assert torch.equal(ours, theirs)


@settings(max_examples=25)
@given(seed=seeds, n=st.integers(2, 30), temperature=st.sampled_from([0.1, 0.5, 1.0]))
def test_nt_xent_is_lightlys_and_pmls(seed: int, n: int, temperature: float) -> None:
    views = [rows(n, 5, seed).requires_grad_(), rows(n, 5, seed + 1).requires_grad_()]
    ours = nt_xent(*views, temperature=temperature)
    assert_same(ours, LightlyNTXent(temperature)(*views), views)
    pml = pml_losses.NTXentLoss(temperature)(torch.cat(views), torch.arange(n).repeat(2))
    assert_same(nt_xent(*views, temperature=temperature), pml, views)


@settings(max_examples=25)
@given(seed=seeds, n=st.integers(2, 40), d=st.integers(2, 16))
def test_koleo_is_lightlys(seed: int, n: int, d: int) -> None:
    """Lightly adds 1e-8 to each coordinate of the difference too: the two agree where distances are far above that."""
    z = rows(n, d, seed).requires_grad_()
    assert_same(koleo(z), KoLeoLoss()(z), [z], rtol=1e-4)


@settings(max_examples=25)
@given(
    seed=seeds, classes=st.integers(2, 6), degrees=st.sampled_from([0.0, 28.6, 60.0]), scale=st.sampled_from([1, 64])
)
def test_arcface_is_pmls(seed: int, classes: int, degrees: float, scale: int) -> None:
    z, labels = rows(20, 3, seed).requires_grad_(), random_labels(20, classes, seed)
    ours = ArcFace(3, classes, scale=scale, margin=math.radians(degrees)).double()
    peer = pml_losses.ArcFaceLoss(classes, 3, margin=degrees, scale=scale).double()
    peer.W.data.copy_(ours.weight.T)
    (ours_z, ours_w) = torch.autograd.grad(ours(z, labels), [z, ours.weight])
    (peer_z, peer_w) = torch.autograd.grad(peer(z, labels), [z, peer.W])
    assert ours(z, labels).item() == pytest.approx(peer(z, labels).item(), rel=1e-9)
    torch.testing.assert_close(ours_z, peer_z, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ours_w, peer_w.T, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ours.logits(z), peer.get_logits(z), rtol=1e-9, atol=1e-9)


@given(seeds)
def test_softmax_is_torchs(seed: int) -> None:
    z, labels = rows(12, 4, seed).requires_grad_(), random_labels(12, 3, seed)
    head = SoftmaxClassifier(4, 3).double()
    assert_same(head(z, labels), nn.CrossEntropyLoss()(head.linear(z), labels), [z, *head.parameters()])


@pytest.mark.parametrize("distance", ["l2", "cosine"])
@given(seeds)
def test_triplet_margin_is_torchs(distance: str, seed: int) -> None:
    views = [rows(17, 6, seed + view).requires_grad_() for view in range(3)]
    similarity = nn.CosineSimilarity()
    peer: nn.Module = nn.TripletMarginLoss(margin=0.4, eps=0.0)  # torch adds 1e-6 to each coordinate unless told not to
    if distance == "cosine":
        peer = nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: 1 - similarity(x, y), margin=0.4)
    assert_same(triplet_margin(*views, margin=0.4, distance=distance), peer(*views), views)
