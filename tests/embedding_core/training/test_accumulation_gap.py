"""The gap meter: what it says is what naive accumulation would have done to the same embeddings."""

import math

import pytest
import torch
from torch import Tensor

from embedding_core.losses.functional import koleo, triplet_margin
from embedding_core.training.accumulation import LossOf, accumulated_step
from embedding_core.training.accumulation_gap import measure_gap, nn_agreement


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def koleo_of(z: Tensor, part: slice) -> Tensor:
    return koleo(z.flatten(0, -2))


@pytest.mark.parametrize(
    ("batch", "micro_batch", "views"), [(64, 16, 1), (64, 4, 1), (96, 24, 1), (40, 10, 2), (32, 8, 3)]
)
def test_agreement_on_random_rows_is_the_share_of_rows_in_the_micro_batch(
    batch: int, micro_batch: int, views: int
) -> None:
    draws = torch.stack(
        [nn_agreement(rows(views * batch, 16, seed=s), micro_batch=views * micro_batch) for s in range(60)]
    )
    expected = (views * micro_batch - 1) / (views * batch - 1)
    standard_error = draws.std().item() / math.sqrt(len(draws))
    assert abs(draws.mean().item() - expected) <= 3 * standard_error


def test_agreement_counts_rows_whose_neighbour_is_in_their_micro_batch() -> None:
    # Neighbours: 0-1, 2-3 (each other's), 4 -> 3; micro-batches 0-2 and 3-4.
    angles = torch.tensor([0.0, 0.1, 1.0, 1.1, 1.3])
    z = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert nn_agreement(z, micro_batch=3).item() == pytest.approx(3 / 5)


@pytest.mark.parametrize("k", [2, 3, 4, 7])
@pytest.mark.parametrize("shape", [(24, 8), (24, 2, 8)])
def test_the_gap_is_between_the_gradients_of_the_two_modes(k: int, shape: tuple[int, ...]) -> None:
    z = rows(*shape)
    gradients, losses = {}, {}
    for mode in ("naive", "cached"):
        parameter = torch.nn.Parameter(z.clone())
        # The network is a look-up, so `.grad` is the gradient with respect to the embeddings.
        step = accumulated_step(
            lambda index, p=parameter: p[index], torch.arange(24), koleo_of, accum_steps=k, mode=mode
        )
        assert parameter.grad is not None
        gradients[mode], losses[mode] = parameter.grad.flatten(), step.loss
    found = measure_gap(z, koleo_of, accum_steps=k)
    cosine = torch.dot(gradients["naive"], gradients["cached"]) / gradients["naive"].norm() / gradients["cached"].norm()
    assert found.micro_full_grad_cos.item() == pytest.approx(cosine.item(), abs=1e-12)
    ratio = gradients["naive"].norm() / gradients["cached"].norm()
    assert found.micro_full_grad_norm_ratio.item() == pytest.approx(ratio.item(), rel=1e-12)
    assert found.micro_full_loss_diff.item() == pytest.approx((losses["naive"] - losses["cached"]).item(), abs=1e-12)
    views = math.prod(shape[1:-1])
    agreement = nn_agreement(z.flatten(0, -2), micro_batch=views * math.ceil(24 / k))
    assert found.nn_agreement.item() == agreement.item()


@pytest.mark.parametrize(("k", "published"), [(4, 0.31), (8, 0.19), (32, 0.02)])
def test_the_published_cosines_of_naive_koleo_are_draws_like_ours(k: int, published: float) -> None:
    """256 random vectors of 64 numbers; the published figures are single draws."""
    draws = torch.stack(
        [measure_gap(rows(256, 64, seed=s), koleo_of, accum_steps=k).micro_full_grad_cos for s in range(12)]
    )
    assert abs(draws.mean() - published) <= 3 * draws.std()


def test_a_per_sample_loss_has_no_gap() -> None:
    def loss_of(z: Tensor, part: slice) -> Tensor:
        return triplet_margin(z[:, 0], z[:, 1], z[:, 2], margin=2.0, distance="cosine")

    found = measure_gap(rows(10, 3, 8), loss_of, accum_steps=4)
    assert found.micro_full_grad_cos.item() == pytest.approx(1, abs=1e-12)
    assert found.micro_full_grad_norm_ratio.item() == pytest.approx(1, abs=1e-12)
    assert found.micro_full_loss_diff.item() == pytest.approx(0, abs=1e-12)


def vanishing(z: Tensor, part: slice) -> Tensor:
    return (z * 0).sum()


def in_parts_only(z: Tensor, part: slice) -> Tensor:
    return z.sum() if len(z) < 6 else (z * 0).sum()


@pytest.mark.parametrize(("loss_of", "agreement"), [(vanishing, 1.0), (in_parts_only, 0.0)])
def test_a_vanishing_gradient_makes_no_nan(loss_of: LossOf, agreement: float) -> None:
    found = measure_gap(rows(6, 4), loss_of, accum_steps=2)
    assert found.micro_full_grad_cos.item() == agreement
    assert found.micro_full_grad_norm_ratio.item() == agreement


def test_the_meter_leaves_embeddings_and_parameters_of_the_loss_alone() -> None:
    proxies = torch.nn.Linear(8, 3)
    z = rows(12, 8).float()

    def loss_of(z: Tensor, part: slice) -> Tensor:
        return torch.nn.functional.cross_entropy(proxies(z), torch.arange(12)[part] % 3)

    measure_gap(z, loss_of, accum_steps=3)
    assert proxies.weight.grad is None
    assert not z.requires_grad
