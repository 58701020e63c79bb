"""Probes against naive classifiers, scikit-learn's own parts put together by hand, and statsmodels' interval."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC, LinearSVC
from statsmodels.stats.weightstats import DescrStatsW
from torch import Tensor

from embedding_core.evaluation.probes import KINDS, ProbePoint, probe, probe_curve
from embedding_core.seeding import generator


def clusters(n: int, classes: int = 3, d: int = 5, *, seed: int = 0, noise: float = 0.6) -> tuple[Tensor, Tensor]:
    """Rows around one axis per class; the first class has about half of them."""
    draw = torch.Generator().manual_seed(seed)
    labels = (torch.randint(0, 2 * classes, (n,), generator=draw) - classes).clamp(min=0)
    return torch.eye(classes, d)[labels] + noise * torch.randn(n, d, generator=draw), labels


def standardised(train: Tensor, test: Tensor) -> tuple[np.ndarray, np.ndarray]:
    mean, std = train.double().mean(dim=0), train.double().std(dim=0, correction=0)
    return ((train.double() - mean) / std).numpy(), ((test.double() - mean) / std).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_far_clusters_are_told_apart(kind: str) -> None:
    (z, y), (t, truth) = clusters(200, noise=0.02), clusters(40, seed=1, noise=0.02)
    assert probe(z, y, t, truth, kind=kind) == 1.0
    # Labels of the test set shifted by one: nothing is found.
    assert probe(z, y, t, (truth + 1) % 3, kind=kind) == 0.0


@pytest.mark.parametrize("kind", ["svc", "linear"])
def test_svms_are_scikit_learns_on_rows_standardised_by_hand(kind: str) -> None:
    (z, y), (t, truth) = clusters(120), clusters(200, seed=1)
    x, s = standardised(z, t)
    peer = SVC(gamma=1 / 5) if kind == "svc" else LinearSVC(random_state=0)
    expected = balanced_accuracy_score(truth, peer.fit(x, y).predict(s))
    assert 0.4 < expected < 0.95
    assert probe(z, y, t, truth, kind=kind) == pytest.approx(expected)


def test_linear_probe_is_near_study_twos_gradient_descent() -> None:
    """That study fitted the same hyperplanes with the hinge by stochastic gradient descent: 600 rows, 3 points."""
    (z, y), (t, truth) = clusters(600, noise=0.4), clusters(600, seed=1, noise=0.4)
    x, s = standardised(z, t)
    expected = balanced_accuracy_score(truth, SGDClassifier(alpha=1e-3, random_state=0).fit(x, y).predict(s))
    assert probe(z, y, t, truth, kind="linear") == pytest.approx(expected, abs=0.03)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([4, 40]))
def test_knn_probe_is_the_naive_loop(seed: int, n: int) -> None:
    (z, y), (t, truth) = clusters(n, seed=seed), clusters(15, seed=seed + 1)
    predicted = []
    for row in t:
        nearest = (z - row).norm(dim=1).argsort()[:10]  # all four, where there are only four
        votes = Counter(y[nearest].tolist())
        predicted.append(max(sorted(votes), key=votes.__getitem__))
    shares = [
        np.mean([p == c for p, w in zip(predicted, truth.tolist(), strict=True) if w == c]) for c in set(truth.tolist())
    ]
    assert probe(z, y, t, truth, kind="knn") == pytest.approx(np.mean(shares))


def test_svms_are_standardised_and_knn_is_not() -> None:
    (z, y), (t, truth) = clusters(300, noise=0.3), clusters(300, seed=1, noise=0.3)
    scale, shift = torch.tensor([1e3, 1e-2, 1.0, 30.0, 0.5]), torch.tensor([5.0, 0.0, -70.0, 1.0, 2.0])
    for kind in ("svc", "linear"):
        found = probe(z.double() * scale + shift, y, t.double() * scale + shift, truth, kind=kind)
        assert found == pytest.approx(probe(z, y, t, truth, kind=kind), abs=0.01)
    assert probe(z * scale, y, t * scale, truth, kind="knn") < probe(z, y, t, truth, kind="knn") - 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_accuracy_is_balanced_and_one_training_class_is_no_error(kind: str) -> None:
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([4] * 17 + [7, 8, 8])
    assert probe(z[:6], torch.full((6,), 4), z, truth, kind=kind) == pytest.approx(1 / 3)  # plain accuracy: .85
    assert probe(z[:6], torch.full((6,), 5), z, truth, kind=kind) == 0.0  # a class the test set does not have


@pytest.mark.parametrize("kind", KINDS)
def test_constant_dimensions_half_precision_and_nan(kind: str) -> None:
    (z, y), (t, truth) = clusters(60, noise=0.02), clusters(40, seed=1, noise=0.02)
    z[:, 4], t[:, 4] = 2.0, 2.0
    assert probe(z.bfloat16(), y, t.half(), truth, kind=kind) == 1.0
    t[3, 0] = math.nan
    assert math.isnan(probe(z, y, t, truth, kind=kind))
    assert math.isnan(probe(z * math.inf, y, z, y, kind=kind))


def test_what_a_probe_refuses() -> None:
    z, y = clusters(6)
    with pytest.raises(ValueError, match=r"Unknown probe `svm`\. Did you mean `svc`"):
        probe(z, y, z, y, kind="svm")
    with pytest.raises(ValueError, match="got 0 to train, 6 to test"):
        probe(z[:0], y[:0], z, y, kind="knn")


# Curves


def curve(**settings: object) -> list[ProbePoint]:
    z, y = clusters(90)
    return probe_curve(z, y, **{"budgets": (5, 20, 50), "repeats": 4, "seed": 3, **settings})  # type: ignore[arg-type]


def test_a_curve_is_its_draws_put_together() -> None:
    """Draw r: 35 % of the order are the test set, the rows after them are labelled in that order."""
    z, y = clusters(90)
    points = curve()
    assert [(p.kind, p.budget) for p in points] == [(kind, n) for kind in KINDS for n in (5, 20, 50)]
    for point in points:
        assert len(point.scores) == 4
        for r, score in enumerate(point.scores):
            order = torch.randperm(90, generator=generator(3, "probe", r))
            test, pool = order[:31], order[31:]
            train = pool[: point.budget]  # so smaller budgets are within larger ones
            assert score == probe(z[train], y[train], z[test], y[test], kind=point.kind)


def test_the_interval_is_statsmodels() -> None:
    for point in curve(repeats=6):
        low, high = DescrStatsW(point.scores).tconfint_mean(0.05)
        assert (point.mean, point.ci_low, point.ci_high) == pytest.approx((np.mean(point.scores), low, high))


def test_draws_that_agree_have_an_interval_of_no_width() -> None:
    z, y = clusters(300, noise=0.01)
    for point in probe_curve(z, y, budgets=[195], repeats=3, kinds=["knn"]):
        assert (point.mean, point.ci_low, point.ci_high) == (1.0, 1.0, 1.0)


@pytest.mark.slow
def test_same_seed_same_curve_and_more_repeats_keep_the_earlier_draws() -> None:
    assert curve() == curve()
    assert [p.scores for p in curve(seed=4)] != [p.scores for p in curve()]
    assert [p.scores[:2] for p in curve()] == [p.scores for p in curve(repeats=2)]


def test_more_labels_help() -> None:
    z, y = clusters(900, noise=0.5)
    for kind in KINDS:
        few, many = probe_curve(z, y, budgets=[6, 500], repeats=5, kinds=[kind])
        assert few.ci_high < many.ci_low


@pytest.mark.slow
def test_the_interval_covers_the_mean_of_many_draws() -> None:
    """60 curves of 5 draws: 95 % intervals miss the mean over all 300 draws about 3 times, 8 or more is one in 100."""
    z, y = clusters(200)
    curves = [probe_curve(z, y, budgets=[60], repeats=5, kinds=["svc"], seed=s)[0] for s in range(60)]
    truth = np.mean([c.mean for c in curves])
    assert sum(not c.ci_low <= truth <= c.ci_high for c in curves) < 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repeats": 1}, "repeats=1"),
        ({"test_share": 0.0}, "test_share=0.0, n=90"),
        ({"test_share": 1.0}, "test_share=1.0, n=90"),
        ({"budgets": (0, 30, 60, 59)}, r"59 training rows, but got \[0, 60\]"),
        ({"kinds": ("knn", "svd")}, "Unknown probe `svd`"),
    ],
)
def test_what_a_curve_refuses(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        curve(**settings)
