"""Probes: how well a simple classifier, fitted on few labels, tells classes apart by frozen embeddings."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.metrics import recall_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.metrics.distances import at_least_float32
from embedding_core.seeding import generator

KINDS = ("svc", "linear", "knn")
"""RBF support vector machine, linear one, nearest neighbours."""

BUDGETS = (30, 100, 300, 1000, 3000)
"""Numbers of labels, as study 2 has them."""

PROBE_KNN_NEIGHBOURS = 10
"""Votes of the kNN probe."""

LINEAR_ITERATIONS = 10_000
"""Ten times the default, which does not converge on a thousand labels."""

PROBE_TEST_SHARE = 0.35
"""Of the images, as study 2 has it."""

CONFIDENCE = 0.95


class ProbePoint(NamedTuple):
    """One probe at one label budget: balanced accuracy over the draws."""

    kind: str
    budget: int
    mean: float
    ci_low: float
    ci_high: float
    """95 % t interval over draws of split and labels; the embeddings are fixed: it says nothing of other trainings."""
    scores: tuple[float, ...]
    """A balanced accuracy per draw."""


def probe(
    train_z: Float[Tensor, "n d"],
    train_labels: Int[Tensor, " n"],
    test_z: Float[Tensor, "t d"],
    test_labels: Int[Tensor, " t"],
    *,
    kind: str,
    seed: int = 0,
) -> float:
    """Balanced accuracy on `test_z` of a classifier fitted to `train_z`; NaN if an embedding is not finite.

    `svc`: RBF, C = 1, gamma = 1 / d, on standardised dimensions; `linear`: linear SVM, C = 1, squared hinge, on
    standardised dimensions; `knn`: unweighted vote of the 10 nearest in Euclidean distance (of all, where there are
    fewer). Balanced: the mean over the classes of the test set of the share of their images found. A class without a
    training label counts as not found.

    Args:
        train_z: embeddings with labels to learn from, n >= 1.
        train_labels: class per row.
        test_z: embeddings to classify, t >= 1.
        test_labels: class per row.
        kind: `svc`, `linear` or `knn`.
        seed: of the linear solver's order of coordinates, 0 to 2^32 - 1.

    Raises:
        ValueError: unknown kind, or no row on one side.
    """
    if kind not in KINDS:
        raise ValueError(unknown("probe", kind, KINDS))
    if not len(train_z) or not len(test_z):
        raise ValueError(f"A probe needs rows on both sides, but got {len(train_z)} to train, {len(test_z)} to test.")
    if not (train_z.isfinite().all() and test_z.isfinite().all()):
        return math.nan
    x, t = (at_least_float32(z).detach().cpu().numpy() for z in (train_z, test_z))
    y, truth = train_labels.cpu().numpy(), test_labels.cpu().numpy()
    # The solvers refuse a single class, but a small budget may hold one.
    classifier = DummyClassifier() if (y == y[0]).all() else _classifier(kind, len(x), seed)
    predicted = classifier.fit(x, y).predict(t)
    return float(recall_score(truth, predicted, labels=np.unique(truth), average="macro"))


def _classifier(kind: str, n: int, seed: int) -> BaseEstimator:
    match kind:
        case "svc":
            return make_pipeline(StandardScaler(), SVC(gamma="auto"))
        case "linear":
            return make_pipeline(StandardScaler(), LinearSVC(max_iter=LINEAR_ITERATIONS, random_state=seed))
    return KNeighborsClassifier(min(PROBE_KNN_NEIGHBOURS, n))


def probe_curve(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    *,
    budgets: Sequence[int] = BUDGETS,
    repeats: int = 10,
    kinds: Sequence[str] = KINDS,
    test_share: float = PROBE_TEST_SHARE,
    seed: int = 0,
) -> list[ProbePoint]:
    """Balanced accuracy of each probe at each label budget, over repeated random draws.

    Each draw splits all rows anew; its budgets are nested prefixes of one order of the training rows, and all kinds see
    the same rows.

    Args:
        z: frozen embeddings of the classes asked about.
        labels: class per row.
        budgets: numbers of training labels, each 1 to the size of the training side.
        repeats: draws, >= 2.
        kinds: of `KINDS`.
        test_share: of the rows, rounded to the nearest number; between 0 and 1.
        seed: draw r takes the stream of ("probe", r) in this block.

    Returns:
        A point per kind and budget, kinds first, in the order given.

    Raises:
        ValueError: unknown kind, or a number outside its domain.
    """
    n_test = round(test_share * len(z))
    n_train = len(z) - n_test
    if repeats < 2:
        raise ValueError(f"An interval needs two draws, but got repeats={repeats}.")
    if not 0 < n_test < len(z):
        raise ValueError(f"Both sides of the split need a row, but got test_share={test_share}, n={len(z)}.")
    if wrong := [budget for budget in budgets if not 1 <= budget <= n_train]:
        raise ValueError(f"Label budgets must be 1 to the {n_train} training rows, but got {wrong}.")
    orders = [torch.randperm(len(z), generator=generator(seed, "probe", r)).to(z.device) for r in range(repeats)]
    points = []
    for kind in kinds:
        for budget in budgets:
            scores = []
            for order in orders:
                test, train = order[:n_test], order[n_test : n_test + budget]
                scores.append(probe(z[train], labels[train], z[test], labels[test], kind=kind))
            points.append(_point(kind, budget, scores))
    return points


def _point(kind: str, budget: int, scores: Sequence[float]) -> ProbePoint:
    mean, n = float(np.mean(scores)), len(scores)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(scores, ddof=1) / math.sqrt(n))
    return ProbePoint(kind, budget, mean, mean - half, mean + half, tuple(scores))
