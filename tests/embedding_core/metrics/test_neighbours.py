"""Nearest neighbours against naive rankings."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from embedding_core.metrics import neighbours
from embedding_core.metrics.neighbours import top_k_neighbours


def rows(n: int, seed: int = 0) -> Tensor:
    """In float64: no ties."""
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def similarity(x: Tensor, y: Tensor, metric: str) -> float:
    return (x @ y).item() if metric == "dot" else F.cosine_similarity(x, y, dim=0).item()


@pytest.fixture(params=[1, 5, 1024])
def queries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS_AT_A_TIME", request.param)


@pytest.mark.usefixtures("queries")
@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_neighbours_are_the_naive_ranking(metric: str) -> None:
    query, reference = rows(11), rows(17, seed=1)
    found = top_k_neighbours(query, reference, k=17, metric=metric)
    for i in range(11):
        ranking = sorted(range(17), key=lambda j, i=i: -similarity(query[i], reference[j], metric))
        assert found.indices[i].tolist() == ranking
        expected = [similarity(query[i], reference[j], metric) for j in ranking]
        assert found.similarities[i].tolist() == pytest.approx(expected, rel=1e-12)
    few = top_k_neighbours(query, reference, k=4, metric=metric)
    assert torch.equal(few.indices, found.indices[:, :4])


@pytest.mark.usefixtures("queries")
def test_self_is_excluded_by_index_and_a_duplicate_is_not() -> None:
    z = rows(12)
    z[7] = z[2]
    found = top_k_neighbours(z, z, k=11, exclude_self=True)
    assert [sorted(row) for row in found.indices.tolist()] == [[j for j in range(12) if j != i] for i in range(12)]
    assert (found.indices[2, 0], found.indices[7, 0]) == (7, 2)
    assert found.similarities[2, 0].item() == pytest.approx(1)


def test_dot_sees_the_length_that_cosine_ignores() -> None:
    reference = torch.tensor([[1.0, 0.0], [5.0, 5.0]])
    query = torch.tensor([[2.0, 0.5]])
    assert top_k_neighbours(query, reference, k=1, metric="cosine").indices.item() == 0
    assert top_k_neighbours(query, reference, k=1, metric="dot").indices.item() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k=0, 4 candidates"),
        ({"k": 5}, "k=5, 4 candidates"),
        ({"k": 4, "exclude_self": True}, "k=4, 3 candidates"),
        ({"k": 1, "metric": "cosin"}, "Did you mean `cosine`"),
    ],
)
def test_what_neighbours_refuse(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_k_neighbours(torch.ones(4, 2), torch.ones(4, 2), **arguments)  # type: ignore[arg-type]


def test_self_needs_one_query_per_reference_and_no_query_has_no_neighbour() -> None:
    with pytest.raises(ValueError, match="got 3 and 4"):
        top_k_neighbours(torch.ones(3, 2), torch.ones(4, 2), k=1, exclude_self=True)
    assert top_k_neighbours(torch.ones(0, 2), torch.ones(4, 2), k=3).indices.shape == (0, 3)


def test_neighbours_carry_no_gradient() -> None:
    z = rows(6)
    assert not top_k_neighbours(z.requires_grad_(), z, k=2, exclude_self=True).similarities.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(dtype: torch.dtype) -> None:
    corners = torch.eye(2, 3)[torch.arange(8) % 2].to(dtype)
    assert top_k_neighbours(corners, corners, k=2).similarities.dtype == torch.float32
