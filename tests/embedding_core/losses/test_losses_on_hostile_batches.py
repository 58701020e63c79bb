"""Every loss on batches that break losses: finite values, finite gradients, at least float32."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from embedding_core.losses.classification import ArcFace, SoftmaxClassifier
from embedding_core.losses.functional import koleo, nt_xent, triplet_margin, triplet_semihard
from embedding_core.losses.miners import mine
from embedding_core.metrics.distances import DISTANCES


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arcface(proxies: Tensor, **settings: float) -> ArcFace:
    head = ArcFace(proxies.shape[1], len(proxies), **settings).to(proxies.dtype)
    head.weight.data.copy_(proxies)
    return head


def mined(z: Tensor, labels: Tensor, positive: str, negative: str, distance: str) -> Tensor:
    t = mine(z, labels, positive=positive, negative=negative, margin=0.5, distance=distance)
    return triplet_margin(*t.embeddings(z), margin=0.5, distance=distance)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "koleo": lambda z, labels: koleo(z),
    "koleo of other classes": lambda z, labels: koleo(z, labels=labels, exclude_same_class=True, top_k=2),
    "nt_xent": lambda z, labels: nt_xent(z[::2], z[1::2]),
    "nt_xent of dot products": lambda z, labels: nt_xent(z[::2], z[1::2], similarity="dot"),
    "arcface": lambda z, labels: arcface(torch.eye(8)[:6])(z, labels),
    "softmax": lambda z, labels: SoftmaxClassifier(8, 6)(z, labels),
    **{f"semihard {d}": lambda z, labels, d=d: triplet_semihard(z, labels, distance=d) for d in DISTANCES},
    **{
        f"{p}/{n} {d}": lambda z, labels, p=p, n=n, d=d: mined(z, labels, p, n, d)
        for d in DISTANCES
        for p, n in (("easy", "semihard"), ("hard", "hard"), ("all", "all"))
    },
}

HOSTILE: dict[str, tuple[Tensor, list[int]]] = {
    "no positives": (rows(6, 8), [0, 1, 2, 3, 4, 5]),
    "one class": (rows(6, 8), [1] * 6),
    "duplicates": (rows(3, 8).repeat(2, 1), [0, 0, 1, 0, 1, 1]),
    "antipodes": (torch.cat([rows(3, 8), -rows(3, 8)]), [0, 1, 2, 0, 1, 2]),
    "collapsed": (torch.ones(6, 8), [0, 0, 0, 1, 1, 1]),
    "on the axes": (torch.eye(8)[:6], [0, 0, 1, 1, 2, 2]),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", HOSTILE)
@pytest.mark.parametrize("loss", LOSSES)
def test_hostile_batches_give_finite_losses_and_gradients(loss: str, batch: str, dtype: torch.dtype) -> None:
    z, labels = HOSTILE[batch]
    z = z.to(dtype).requires_grad_()
    value = LOSSES[loss](z, torch.tensor(labels))
    (gradient,) = torch.autograd.grad(value, z)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", [name for name in LOSSES if not name.startswith(("koleo", "nt_xent"))])
def test_a_batch_of_one_row_gives_a_finite_loss(loss: str) -> None:
    z = rows(1, 8).requires_grad_()
    value = LOSSES[loss](z, torch.tensor([2]))
    (gradient,) = torch.autograd.grad(value, z)
    assert value.isfinite()
    assert gradient.isfinite().all()
