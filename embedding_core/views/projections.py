"""Embeddings in the plane: PCA, UMAP and t-SNE, and an ellipse round each class."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.data.class_groups import by_class
from embedding_core.seeding import stream
from embedding_core.storage.local_cache import lend_cache

UMAP_NEIGHBOURS = 15
"""umap-learn's default, which study 2 used."""

TSNE_PERPLEXITY = 30.0
"""scikit-learn's default."""

UMAP_MIN_POINTS = 4
"""umap-learn's spectral start needs more points than the plane's two dimensions and a constant."""


class Principal(NamedTuple):
    """The two directions of largest variance."""

    points: Float[Tensor, "n 2"]
    explained: tuple[float, float]
    """Share of the variance along each; NaN where there is none."""


def pca(z: Float[Tensor, "n d"]) -> Principal:
    """Coordinates along the two principal axes, in the units of `z`; each axis points to its largest loading.

    Where `z` has a single column the second coordinate is 0.
    """
    centred = (z - z.mean(dim=0)).double()
    if z.shape[1] == 1:
        centred = torch.cat([centred, torch.zeros_like(centred)], dim=1)
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    variances, axes = variances.flip(0).clamp(min=0), axes.flip(1)[:, :2]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    first, second = (variances[:2] / variances.sum()).tolist()
    return Principal((centred @ (axes * largest.sign())).to(z.dtype), (first, second))


def umap(z: Float[Tensor, "n d"], *, seed: int) -> Float[Tensor, "n 2"]:
    """UMAP with its default settings on standardised columns.

    Same seed, machine and library versions, same points; one thread (about 2 s for 1,000 points, and 10 s of
    compilation in a process's first call).

    Args:
        z: embeddings, n >= 4.
        seed: any integer.

    Raises:
        ValueError: too few points.

    Source: McInnes, Healy & Melville 2018, arXiv 1802.03426.
    """
    if len(z) < UMAP_MIN_POINTS:
        raise ValueError(f"UMAP needs at least {UMAP_MIN_POINTS} points, but got {len(z)}.")
    threads = torch.get_num_threads()
    try:
        return _umap(z, seed)
    finally:
        torch.set_num_threads(threads)  # numba sets its own for the whole process, and later runs would not repeat


def _umap(z: Float[Tensor, "n d"], seed: int) -> Float[Tensor, "n 2"]:
    _make_room_for_compiled()
    from umap import UMAP  # its import alone takes a second

    neighbours = min(UMAP_NEIGHBOURS, len(z) - 1)
    method = UMAP(n_neighbors=neighbours, random_state=_state(seed, "umap"), n_jobs=1)
    return _fitted(method, z)


def _make_room_for_compiled() -> None:
    """Numba keeps what it compiles beside UMAP's code, and raises on import where it can keep it nowhere."""
    found = find_spec("umap")
    if found is not None and found.origin is not None:
        lend_cache("NUMBA_CACHE_DIR", Path(found.origin).parent / "__pycache__")


def tsne(z: Float[Tensor, "n d"], *, seed: int) -> Float[Tensor, "n 2"]:
    """Barnes-Hut t-SNE from a PCA start on standardised columns; perplexity 30, or (n - 1) / 3 of fewer points.

    Same seed, machine and library versions, same points.

    Args:
        z: embeddings, n >= 2.
        seed: any integer.

    Raises:
        ValueError: too few points.

    Source: van der Maaten 2014, "Accelerating t-SNE using tree-based algorithms".
    """
    from sklearn.manifold import TSNE

    if len(z) < 2:
        raise ValueError(f"t-SNE needs at least 2 points, but got {len(z)}.")
    perplexity = min(TSNE_PERPLEXITY, (len(z) - 1) / 3)
    method = TSNE(perplexity=perplexity, init="pca", random_state=_state(seed, "tsne"), n_jobs=1)
    return _fitted(method, z)


class Ellipse(NamedTuple):
    """Ellipse round a class that half of its points lie in."""

    label: int
    x: float
    y: float
    width: float
    """Full length of the longer axis."""
    height: float
    """Full length of the shorter axis."""
    angle: float
    """Of the longer axis against x, degrees in (-90, 90]."""
    n: int

    @property
    def area(self) -> float:
        """pi w h / 4, as w and h are full axes."""
        return math.pi * self.width * self.height / 4


def class_ellipses(points: Float[Tensor, "n 2"], labels: Int[Tensor, " n"]) -> list[Ellipse]:
    """One ellipse per class, by ascending label: mean as centre, the class's covariance as shape, and the median
    Mahalanobis distance to the centre as size.

    Where a class lies on a line the shorter axis is 0; the axes are NaN with fewer than three points.

    Source: study 1 (its area lacked the 4 in two of three chapters).
    """
    groups = by_class(labels, torch.arange(len(labels)))
    pairs = zip(groups.each(), groups.labels.tolist(), strict=True)
    return [_ellipse(points[own].double(), label) for own, label in pairs]


def _ellipse(points: Float[Tensor, "n 2"], label: int) -> Ellipse:
    n, centre = len(points), points.mean(dim=0)
    x, y = centre.tolist()
    if n < 3:
        return Ellipse(label, x, y, math.nan, math.nan, math.nan, n)
    centred = points - centre
    variances, axes = torch.linalg.eigh(centred.T @ centred / n)
    # What rounding alone leaves of a direction without extent is no direction.
    flat = variances <= variances[-1] * n * torch.finfo(variances.dtype).eps
    scale = variances.masked_fill(flat, 0).sqrt()
    along = torch.where(flat, 0.0, (centred @ axes) / scale)
    median = along.square().sum(dim=1).sqrt().quantile(0.5)
    height, width = (2 * median * scale).tolist()
    dx, dy = axes[:, 1].tolist()
    angle = math.degrees(math.atan2(dy, dx))
    angle = angle - 180 if angle > 90 else angle + 180 if angle <= -90 else angle
    return Ellipse(label, x, y, width, height, angle, n)


def _fitted(method: object, z: Tensor) -> Tensor:
    """The method's plane for standardised `z`."""
    from sklearn.preprocessing import StandardScaler

    if bool((z == z[0]).all()):  # t-SNE's start divides by the variance, and its tree takes the process down with NaN
        return torch.zeros(len(z), 2)
    if z.shape[1] == 1:  # t-SNE starts from two principal components
        z = torch.cat([z, torch.zeros_like(z)], dim=1)
    points = method.fit_transform(StandardScaler().fit_transform(z.double().numpy()))  # type: ignore[attr-defined]
    return torch.from_numpy(np.asarray(points, dtype=np.float32))


def _state(seed: int, method: str) -> int:
    return stream(seed, "views", method) % 2**32
