"""Mined triplets against the definition, anchor by anchor; everything must index the batch."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from embedding_core.losses.functional import triplet_hinge, triplet_margin
from embedding_core.losses.miners import FALLBACKS, NEGATIVES, POSITIVES, Triplets, curriculum, mine, mine_random
from embedding_core.losses.modules import MinedTriplets
from embedding_core.metrics.distances import DISTANCES
from embedding_core.metrics.meter import Meter

POINTS = torch.arange(9.0)[:, None]
POINT_LABELS = torch.tensor([0, 0, 1, 1, 0, 2, 1, 1, 1])

DEFINITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda x, y: 1 - torch.dot(x, y) / (x.norm() * y.norm()),
    "l2": lambda x, y: (x - y).square().sum().sqrt(),
    "sql2": lambda x, y: (x - y).square().sum(),
    "angular": lambda x, y: torch.acos(torch.dot(x, y) / (x.norm() * y.norm())),
}


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_labels(n: int, classes: int, seed: int) -> Tensor:
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


def as_tuples(triplets: Triplets) -> list[tuple[int, ...]]:
    return list(zip(*(part.tolist() for part in triplets), strict=True))


def naive_mine(
    z: Tensor, labels: Tensor, *, positive: str, negative: str, margin: float, distance: str, fallback: str
) -> list[tuple[int, ...]]:
    n = len(z)
    d = [[DEFINITIONS[distance](z[i], z[j]).item() for j in range(n)] for i in range(n)]
    triplets = []
    for a in range(n):
        positives = [p for p in range(n) if p != a and labels[p] == labels[a]]
        negatives = [k for k in range(n) if labels[k] != labels[a]]
        if not positives or not negatives:
            continue
        if positive != "all":
            positives = [(min if positive == "easy" else max)(positives, key=d[a].__getitem__)]
        for p in positives:
            wanted = {
                "semihard": [k for k in negatives if d[a][p] < d[a][k] < d[a][p] + margin],
                "hard": [k for k in negatives if d[a][k] < d[a][p]],
                "all": negatives,
            }[negative]
            if not wanted and fallback == "nearest":
                wanted = negatives
            chosen = wanted if negative == "all" else sorted(wanted, key=d[a].__getitem__)[:1]
            triplets += [(a, p, k) for k in chosen]
    return triplets


def mean_hinge(positive: str, negative: str) -> tuple[Tensor, int]:
    t = mine(POINTS, POINT_LABELS, positive=positive, negative=negative, margin=0.2, distance="l2")
    hinge = triplet_hinge(*t.embeddings(POINTS), margin=0.2, distance="l2")
    return hinge, len(hinge)


# Goldens: points 0 to 8 on a line


@pytest.mark.parametrize(("positive", "expected"), [("hard", 3.325), ("easy", 0.375)])
def test_hinge_of_hard_negatives_on_a_line(positive: str, expected: float) -> None:
    hinge, n = mean_hinge(positive, "hard")
    assert n == 8  # the ninth is alone in its class
    assert hinge.mean().item() == pytest.approx(expected, rel=1e-6)


def test_hinge_of_all_triplets_on_a_line() -> None:
    hinge, n = mean_hinge("all", "all")
    active = hinge[hinge > 0]
    assert (n, len(active)) == (116, 57)
    assert hinge.mean().item() == pytest.approx(1.0293103, rel=1e-6)
    assert active.mean().item() == pytest.approx(2.0947368, rel=1e-6)


def test_hard_positives_with_unbounded_semihard_negatives_on_a_line() -> None:
    triplets = mine(
        POINTS, POINT_LABELS, positive="hard", negative="semihard", margin=math.inf, distance="l2", fallback="drop"
    )
    assert triplets.anchor.tolist() == [0, 1, 6, 7, 8]
    assert triplets.positive.tolist() == [4, 4, 2, 2, 2]
    assert triplets.negative.tolist() == [5, 5, 1, 1, 1]


# The definition


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("negative", NEGATIVES)
@pytest.mark.parametrize("positive", POSITIVES)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 12),
    classes=st.integers(1, 5),
    margin=st.sampled_from([0.1, 1.0, math.inf]),
    fallback=st.sampled_from(FALLBACKS),
)
def test_mining_is_the_naive_loop(
    positive: str, negative: str, distance: str, seed: int, n: int, classes: int, margin: float, fallback: str
) -> None:
    z, labels = rows(n, 3, seed), random_labels(n, classes, seed)
    kinds = {"positive": positive, "negative": negative, "distance": distance, "fallback": fallback}
    triplets = mine(z, labels, margin=margin, **kinds)
    assert as_tuples(triplets) == naive_mine(z, labels, margin=margin, **kinds)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("negative", NEGATIVES)
@pytest.mark.parametrize("positive", POSITIVES)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), classes=st.integers(1, 6), grid=st.booleans())
@settings(max_examples=20)
def test_triplets_index_the_batch_and_keep_to_their_classes(
    positive: str, negative: str, dtype: torch.dtype, seed: int, n: int, classes: int, grid: bool
) -> None:
    """Study 2 indexed its list of negatives instead of the batch: 21 of 128 hard picks were of the anchor's class."""
    z = rows(n, 2, seed)
    z, labels = (z.round() if grid else z).to(dtype).requires_grad_(), random_labels(n, classes, seed)
    t = mine(z, labels, positive=positive, negative=negative, margin=0.5)
    assert (t.anchor != t.positive).all()
    assert (labels[t.anchor] == labels[t.positive]).all()
    assert (labels[t.anchor] != labels[t.negative]).all()
    same = labels[:, None] == labels
    both = ((same.sum(1) > 1) & ~same.all(1)).nonzero().squeeze(1)
    assert torch.equal(t.anchor.unique(), both)  # with the fallback every row that has both is an anchor
    if "all" not in (positive, negative):
        assert torch.equal(t.anchor, both)


@pytest.mark.parametrize("positive", POSITIVES)
def test_collapsed_embeddings_fall_back_on_some_negative(positive: str) -> None:
    z, labels = torch.ones(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    for negative in ("semihard", "hard"):
        kept = mine(z, labels, positive=positive, negative=negative, margin=0.5)
        assert kept.anchor.tolist() == list(range(6))
        dropped = mine(z, labels, positive=positive, negative=negative, margin=0.5, fallback="drop")
        assert not len(dropped.anchor)


def test_unknown_names_are_refused() -> None:
    z, labels = rows(4, 2), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"Unknown positive `medium`\. Known: all, easy, hard\."):
        mine(z, labels, positive="medium", negative="hard", margin=0.5)
    with pytest.raises(ValueError, match="Did you mean `semihard`"):
        mine(z, labels, positive="easy", negative="semi-hard", margin=0.5)
    with pytest.raises(ValueError, match="Did you mean `drop`"):
        mine(z, labels, positive="easy", negative="hard", margin=0.5, fallback="drops")


# Random triplets


@pytest.mark.slow
def test_random_triplets_are_uniform_over_the_candidates_of_each_anchor() -> None:
    labels = torch.tensor([4, 0, 4, 2, 0, 4, 2, 9])
    generator = torch.Generator().manual_seed(0)
    draws = 4000
    counts = torch.zeros(2, 8, 8)
    for _ in range(draws):
        triplets = mine_random(labels, generator)
        counts[0, triplets.anchor, triplets.positive] += 1
        counts[1, triplets.anchor, triplets.negative] += 1
    same = labels[:, None] == labels
    anchors = same.sum(dim=1, keepdim=True) > 1  # not the row alone in its class
    for count, candidates in zip(counts, (same & ~torch.eye(8, dtype=torch.bool), ~same), strict=True):
        share = anchors * candidates / candidates.sum(dim=1, keepdim=True).clamp(min=1)
        spread = (draws * share * (1 - share)).sqrt()
        assert ((count - draws * share).abs() <= 4.5 * spread).all()


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 8))
def test_random_triplets_keep_to_their_classes_and_follow_the_generator(seed: int, n: int, classes: int) -> None:
    labels = random_labels(n, classes, seed)
    t = mine_random(labels, torch.Generator().manual_seed(seed))
    same = labels[:, None] == labels
    assert t.anchor.tolist() == ((same.sum(1) > 1) & ~same.all(1)).nonzero().squeeze(1).tolist()
    assert (t.anchor != t.positive).all()
    assert (labels[t.anchor] == labels[t.positive]).all()
    assert (labels[t.anchor] != labels[t.negative]).all()
    assert as_tuples(mine_random(labels, torch.Generator().manual_seed(seed))) == as_tuples(t)


def test_random_triplets_take_as_many_draws_whatever_the_labels() -> None:
    after = []
    for labels in (torch.zeros(6, dtype=torch.int64), torch.arange(6), torch.arange(6) % 2):
        generator = torch.Generator().manual_seed(3)
        mine_random(labels, generator)
        after.append(torch.rand(1, generator=generator).item())
    assert len(set(after)) == 1


# Curriculum


def test_curriculum_of_study_2() -> None:
    stages = [("easy", "semihard")] * 10 + [("easy", "hard")] * 15 + [("hard", "hard")] * 10
    assert [curriculum(epoch, 35) for epoch in range(35)] == stages


@given(st.integers(1, 300))
def test_curriculum_scales_with_the_run(epochs: int) -> None:
    stages = [curriculum(epoch, epochs) for epoch in range(epochs)]
    assert abs(stages.count(("easy", "semihard")) - epochs * 10 / 35) < 0.5
    assert abs(stages.count(("hard", "hard")) - epochs * 10 / 35) < 0.5
    assert len(set(stages)) == 3 or epochs < 3
    assert stages == sorted(stages, key=[("easy", "semihard"), ("easy", "hard"), ("hard", "hard")].index)


@pytest.mark.parametrize(("epoch", "epochs"), [(-1, 10), (10, 10), (0, 0)])
def test_curriculum_of_no_such_epoch_is_refused(epoch: int, epochs: int) -> None:
    with pytest.raises(ValueError, match=f"got epoch={epoch}, epochs={epochs}"):
        curriculum(epoch, epochs)


# The loss over mined triplets, whose shapes do not depend on how many there are


@pytest.mark.parametrize("distance", ["cosine", "l2", "sql2"])
@pytest.mark.parametrize("negative", NEGATIVES)
@pytest.mark.parametrize("positive", POSITIVES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 24), classes=st.integers(1, 6))
def test_the_mined_loss_is_the_mean_over_the_triplets(
    positive: str, negative: str, distance: str, seed: int, n: int, classes: int
) -> None:
    """Value, gradient and share of active ones of the definition; rows without a positive do not count."""
    z, labels, meter = rows(n, 8, seed).requires_grad_(), random_labels(n, classes, seed), Meter()
    draws = torch.empty(0, n, dtype=torch.float64)
    loss = MinedTriplets(f"{positive}/{negative}", 0.5, distance)(z[:, None], labels[:, None], meter, draws)
    t = mine(z, labels, positive=positive, negative=negative, margin=0.5, distance=distance)
    hinge = triplet_hinge(*t.embeddings(z), margin=0.5, distance=distance)
    expected = hinge.sum() / max(len(hinge), 1)
    torch.testing.assert_close(loss, expected, rtol=1e-11, atol=1e-12)
    found, wanted = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-11)
    active = {"active_triplet_frac": pytest.approx((hinge > 0).double().mean().item())} if len(hinge) else {}
    assert meter.means() == active


@given(seed=st.integers(0, 10**6), n=st.integers(1, 24), classes=st.integers(1, 6))
def test_the_loss_over_random_triplets_is_that_of_the_generators_next_draws(seed: int, n: int, classes: int) -> None:
    z, labels = rows(n, 8, seed), random_labels(n, classes, seed)
    loss = MinedTriplets("random", 0.5, "sql2")
    drawn, again = (torch.Generator().manual_seed(seed) for _ in range(2))
    for _ in range(2):
        found = loss(z[:, None], labels[:, None], Meter(), loss.draws(n, drawn))
        expected = triplet_margin(*mine_random(labels, again).embeddings(z), margin=0.5, distance="sql2")
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["hard/hard", "random", "all/all"])
@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 0, 0]])
def test_a_batch_without_triplets_costs_nothing_and_does_not_count(kind: str, labels: list[int]) -> None:
    loss, meter, generator = MinedTriplets(kind, 0.5, "sql2"), Meter(), torch.Generator()
    z = rows(4, 3).requires_grad_()
    value = loss(z[:, None], torch.tensor(labels)[:, None], meter, loss.draws(4, generator))
    (gradient,) = torch.autograd.grad(value, z)
    assert (value.item(), gradient.abs().sum().item(), meter.means()) == (0, 0, {})
