"""Classifiers fitted on all training images and tested on others: of embeddings, or of raw pixels to compare with."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

from embedding_core.metrics.distances import at_least_float32
from embedding_core.metrics.retrieval import QueryMean, QueryScores, knn_accuracy
from embedding_core.seeding import generator

FITTED_KNN_NEIGHBOURS = 10
"""Votes of the fitted kNN."""

PIXELS_SIDE = 32
"""Pixels a side of the images that raw pixels are taken of."""

PIXEL_VALUES = 40_000_000
"""Most numbers that classifiers of raw pixels are fitted to: all 48,000 images of MNIST, 13,000 of CIFAR-10's."""

EXACT_COLUMNS = 64
"""Most columns that liblinear solves the SVM for: it took 77 s for 128 columns of CIFAR-10's 40,000 images."""

ROWS = 1024
"""Classified at a time."""

PASSES = 5
"""Of gradient descent over the rows of more columns: by then the accuracy on MNIST's pixels has settled, at .917."""

STEPS = 100_000
"""Of gradient descent at least: few rows need more passes."""


def share_right(right: Bool[Tensor, " n"]) -> QueryMean:
    """Share of images classified right, with its binomial standard error.

    Raises:
        ValueError: no images.
    """
    return QueryScores(right.double(), torch.ones_like(right)).mean()


def fitted_knn(
    train_z: Float[Tensor, "n d"],
    train_labels: Int[Tensor, " n"],
    test_z: Float[Tensor, "t d"],
    test_labels: Int[Tensor, " t"],
) -> QueryMean:
    """Accuracy of the vote of the 10 nearest training rows by cosine (of all, where there are fewer).

    See `knn_accuracy` for the weights. On one thread 48,000 x 64 and 10,000 queries take 2 s.
    """
    return knn_accuracy(train_z, train_labels, test_z, test_labels, k=min(FITTED_KNN_NEIGHBOURS, len(train_z)))


def fitted_svm(
    train_z: Float[Tensor, "n d"],
    train_labels: Int[Tensor, " n"],
    test_z: Float[Tensor, "t d"],
    test_labels: Int[Tensor, " t"],
) -> QueryMean:
    """Accuracy of a linear SVM on standardised columns: one against the rest, squared hinge, C = 1.

    Solved to its end by liblinear up to `EXACT_COLUMNS` (the primal problem; the dual one does not converge): 5 to 8 s
    for 48,000 x 64 and ten classes. Wider ones by averaged stochastic gradient descent on the same objective: 5 s for
    48,000 x 784. It stops short of the optimum, which costs no accuracy (on 2,000 rows of 128 columns it found .83, the
    optimum .81), but accuracies of one width alone compare. The time grows with rows, columns and classes.

    Args:
        train_z: embeddings or pixels to fit to.
        train_labels: class per row; two classes at least.
        test_z: likewise, to classify.
        test_labels: class per row.

    Returns:
        The share of `test_labels` found; NaN if a number is not finite.

    Raises:
        ValueError: one class, or no rows.
    """
    from sklearn.linear_model import SGDClassifier  # its import takes a second or two
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    if not (train_z.isfinite().all() and test_z.isfinite().all()):
        return QueryMean(math.nan, math.nan, len(test_z), 0)
    x, t = (at_least_float32(z).detach().cpu().numpy() for z in (train_z, test_z))
    if x.shape[1] <= EXACT_COLUMNS:
        svm = LinearSVC(dual=False)
    else:
        passes = max(PASSES, math.ceil(STEPS / len(x)))
        svm = SGDClassifier("squared_hinge", alpha=1 / len(x), average=True, max_iter=passes, tol=None, random_state=0)
    fitted = make_pipeline(StandardScaler(), svm).fit(x, train_labels.cpu().numpy())
    # In blocks: it scores each row against all classes.
    predicted = np.concatenate([fitted.predict(t[start : start + ROWS]) for start in range(0, len(t), ROWS)])
    return share_right(torch.from_numpy(predicted) == test_labels.cpu())


def raw_pixels(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n p"]:
    """Pixels in [0, 1] as a row per image, on the CPU; sides above `PIXELS_SIDE` are averaged down to it."""
    sides = [min(side, PIXELS_SIDE) for side in images.shape[2:]]
    # In blocks: as float, images of 128 a side would take sixteen times what is kept of them.
    blocks = (F.interpolate(block.cpu().float() / 255, sides, mode="area") for block in images.split(1024))
    return torch.cat([block.flatten(1) for block in blocks])


def drawn_for_pixels(n: int, values: int, *, seed: int) -> Int64[Tensor, " m"]:
    """Places of the training images that raw pixels are fitted to: all n, or a draw of `PIXEL_VALUES` numbers.

    Args:
        n: training images.
        values: numbers in the pixels of each.
        seed: of the draw.
    """
    order = torch.randperm(n, generator=generator(seed, "raw pixels"))
    return order[: max(1, PIXEL_VALUES // values)].sort().values
