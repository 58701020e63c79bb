"""Views against naive loops, and the rows they become."""

import io
import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from embedding_core.data.image_sets import ImageSet, load
from embedding_core.metrics.distances import class_distances
from embedding_core.storage import result_tables
from embedding_core.views.exemplars import THUMBNAIL, class_exemplars, thumbnail
from embedding_core.views.projections import class_ellipses, pca
from embedding_core.views.sampling import SHOWN_POINTS, SHOWN_QUERIES, shown_queries
from embedding_core.views.view_tables import SHOWN_NEIGHBOURS, ViewTables, compute_views

Rows = list[dict[str, Any]]


def picked(rows: Rows, view: str) -> Rows:
    return [row for row in rows if row["view"] == view]


def invented(labels: Tensor, *, names: tuple[str, ...] = (), side: int = 3) -> ImageSet:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (len(labels), 3, side, side), generator=draws, dtype=torch.uint8)
    return ImageSet(images, labels, names)


@pytest.fixture(scope="module")
def digits_set() -> ImageSet:
    whole = load("digits")
    return ImageSet(whole.images[:200], whole.labels[:200], whole.class_names)


@pytest.fixture(scope="module")
def pixels(digits_set: ImageSet) -> Tensor:
    return F.normalize(digits_set.images.flatten(1).float(), dim=1)


@pytest.fixture(scope="module")
def tables(digits_set: ImageSet, pixels: Tensor) -> ViewTables:
    return compute_views(pixels, digits_set, split="test", seed=3)


# Images


@given(st.lists(st.integers(0, 3), min_size=1, max_size=25), st.integers(1, 6), st.integers(0, 2**31))
def test_closest_farthest_and_foreign_are_those_of_a_loop(labels: list[int], k: int, seed: int) -> None:
    z = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(seed)).double()
    found = class_exemplars(z, torch.tensor(labels), k=k)
    assert [one.label for one in found] == sorted(set(labels))
    unit = [row / np.linalg.norm(row) for row in z.numpy()]
    for one in found:
        own = [i for i, label in enumerate(labels) if label == one.label]
        mean = sum(unit[i] for i in own)
        cosine = [float(row @ mean / np.linalg.norm(mean)) for row in unit]
        others = [i for i in range(len(labels)) if i not in own]
        assert one.n == len(own)
        for ranked, among, sign in ((one.closest, own, -1), (one.farthest, own, 1), (one.foreign, others, -1)):
            chosen = ranked.indices.tolist()
            assert set(chosen) <= set(among)
            assert len(set(chosen)) == len(chosen) == min(k, len(among))
            # By value: two images alone in a class are equally far from their mean.
            best = sorted((cosine[i] for i in among), key=lambda value, sign=sign: sign * value)[:k]
            assert [cosine[i] for i in chosen] == pytest.approx(best)
            assert ranked.similarities.tolist() == pytest.approx(best)


def test_length_does_not_matter_and_equals_keep_their_order() -> None:
    z = torch.tensor([[1.0, 0], [5.0, 0], [0, 1], [0, 9], [1, 1]])
    (first, second) = class_exemplars(z, torch.tensor([0, 0, 1, 1, 1]), k=2)
    assert first.closest.indices.tolist() == first.farthest.indices.tolist() == [0, 1]
    assert first.foreign.indices.tolist() == [4, 2]
    assert second.closest.indices.tolist() == [2, 3]


@pytest.mark.parametrize(("shape", "mode"), [((1, 8, 8), "L"), ((3, 8, 6), "RGB"), ((3, 128, 64), "RGB")])
def test_a_thumbnail_is_the_image_and_never_large(shape: tuple[int, int, int], mode: str) -> None:
    image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    shown = Image.open(io.BytesIO(thumbnail(image)))
    assert (shown.format, shown.mode) == ("PNG", mode)
    assert max(shown.size) == min(THUMBNAIL, max(shape))
    if max(shape) <= THUMBNAIL:
        assert np.array_equal(np.asarray(shown).reshape(*shape[1:], shape[0]), image.permute(1, 2, 0).numpy())


# Rows


def test_every_row_is_identified(tables: ViewTables) -> None:
    keys = [(row["split"], row["view"], row["item"], row["rank"]) for row in tables.views]
    assert len(set(keys)) == len(keys)
    groups = [(row["split"], row["metric"], row.get("k"), row["class_id"]) for row in tables.eval_groups]
    assert len(set(groups)) == len(groups)
    assert [row["image_index"] for row in tables.embeddings] == list(range(200))
    assert {row["seed"] for row in tables.views} == {3}


def test_points_are_the_plane_of_all_images(digits_set: ImageSet, pixels: Tensor, tables: ViewTables) -> None:
    points, explained = pca(pixels)
    rows = picked(tables.views, "pca")
    assert sorted(row["image_index"] for row in rows) == list(range(200))
    for row in rows:
        assert (row["x"], row["y"]) == tuple(points[row["image_index"]].tolist())
        assert row["class_id"] == digits_set.labels[row["image_index"]]
        assert row["class_name"] == str(row["class_id"])
    assert [row["value"] for row in picked(tables.views, "pca_axis")] == list(explained)
    for row, ellipse in zip(picked(tables.views, "ellipse"), class_ellipses(points, digits_set.labels), strict=True):
        assert (row["item"], row["x"], row["width"], row["angle"]) == (
            ellipse.label,
            ellipse.x,
            ellipse.width,
            ellipse.angle,
        )
        assert (row["value"], row["n"]) == (math.pi * ellipse.width * ellipse.height / 4, ellipse.n)


def test_distances_of_each_pair_of_classes(digits_set: ImageSet, pixels: Tensor, tables: ViewTables) -> None:
    for view, metric in (("", "cosine"), ("_l2", "l2"), ("_angular", "angular")):
        matrix = class_distances(pixels, digits_set.labels, metric=metric)
        rows = picked(tables.views, f"class_distance{view}")
        assert len(rows) == 100
        for row in rows:
            assert row["value"] == matrix[row["class_id"], row["other_class_id"]].item()


def test_neighbours_are_those_of_a_loop(digits_set: ImageSet, pixels: Tensor, tables: ViewTables) -> None:
    rows = picked(tables.views, "neighbours")
    assert Counter(row["item"] for row in rows) == dict.fromkeys(range(SHOWN_QUERIES), 1 + SHOWN_NEIGHBOURS)
    for _, sheet in itertools.groupby(rows, key=lambda row: row["item"]):
        query, *others = sheet
        q = query["image_index"]
        cosine = {i: float(pixels[q] @ pixels[i]) for i in range(200) if i != q}
        nearest = sorted(cosine, key=lambda i: -cosine[i])[:SHOWN_NEIGHBOURS]
        assert [row["image_index"] for row in others] == nearest
        assert [row["value"] for row in others] == pytest.approx([cosine[i] for i in nearest])
        assert [row["other_class_id"] for row in others] == digits_set.labels[nearest].tolist()
        assert {row["class_id"] for row in others} == {int(digits_set.labels[q])}
        assert query["thumbnail"] == thumbnail(digits_set.images[q])


def test_a_grey_query_has_its_own_neighbours_and_picture() -> None:
    labels = torch.arange(40) % 2
    images = invented(labels)
    z = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    shown = shown_queries(labels, seed=5)
    found = compute_views(z, images, split="test", seed=5, grey_z=-z[shown]).views
    in_colour, grey = picked(found, "neighbours"), picked(found, "neighbours_grey")
    assert [row["image_index"] for row in grey if row["rank"] == 0] == shown.tolist()
    assert [row["image_index"] for row in in_colour if row["rank"] == 0] == shown.tolist()
    unit = F.normalize(z, dim=1)
    for item, q in enumerate(shown.tolist()):
        query, *others = (row for row in grey if row["item"] == item)
        picture = np.asarray(Image.open(io.BytesIO(query["thumbnail"])))
        luma = np.asarray(Image.fromarray(images.images[q].permute(1, 2, 0).numpy()).convert("L"), dtype=int)
        assert np.abs(picture.astype(int) - luma[:, :, None]).max() <= 1
        cosine = {i: -float(unit[q] @ unit[i]) for i in range(40) if i != q}
        nearest = sorted(cosine, key=lambda i: -cosine[i])[:SHOWN_NEIGHBOURS]
        assert [row["image_index"] for row in others] == nearest
        assert [row["value"] for row in others] == pytest.approx([cosine[i] for i in nearest])
        assert [row["thumbnail"] for row in others] == [thumbnail(images.images[i]) for i in nearest]
    assert not picked(compute_views(z, images, split="test", seed=5).views, "neighbours_grey")


def test_groups_are_those_of_loops(digits_set: ImageSet, pixels: Tensor, tables: ViewTables) -> None:
    found = {(row["metric"], row.get("k"), row["class_id"]): row for row in tables.eval_groups}
    labels = digits_set.labels.tolist()
    cosine = (pixels @ pixels.T).tolist()
    rates: dict[int, list[float]] = {}
    recalls: dict[int, list[bool]] = {}
    for q, label in enumerate(labels):
        nearest = sorted((i for i in range(200) if i != q), key=lambda i: -cosine[q][i])[:SHOWN_NEIGHBOURS]
        rates.setdefault(label, []).append(sum(labels[i] == label for i in nearest) / len(nearest))
        recalls.setdefault(label, []).append(labels[nearest[0]] == label)
    members = {label: [i for i in range(200) if labels[i] == label] for label in range(10)}
    apart = [
        [np.mean([1 - cosine[i][j] for i in members[a] for j in members[b] if i != j]) for b in range(10)]
        for a in range(10)
    ]
    points = pca(pixels).points.numpy()
    scaled = (points - points.min(axis=0)) / (points.max(axis=0) - points.min(axis=0))
    for i, ellipse in enumerate(class_ellipses(torch.from_numpy(scaled), digits_set.labels)):
        assert found["intra", None, i]["value"] == pytest.approx(apart[i][i], rel=1e-5)
        others = np.mean([apart[i][j] for j in range(10) if j != i])
        assert found["inter", None, i]["value"] == pytest.approx(others, rel=1e-5)
        assert found["hit_rate", 1, i]["value"] == pytest.approx(np.mean(recalls[i]))
        rate = found["hit_rate", SHOWN_NEIGHBOURS, i]
        assert rate["value"] == pytest.approx(np.mean(rates[i]))
        assert rate["se"] == pytest.approx(np.std(rates[i], ddof=1) / math.sqrt(len(rates[i])))
        assert rate["n"] == labels.count(i)
        assert found["ellipse_area_scaled", None, i]["value"] == pytest.approx(ellipse.area, rel=1e-5)


def test_the_spectrum_holds_the_energy(pixels: Tensor, tables: ViewTables) -> None:
    values = [row["value"] for row in picked(tables.views, "spectrum")]
    assert len(values) == 64
    assert values == sorted(values, reverse=True)
    assert sum(value**2 for value in values) == pytest.approx(pixels.square().sum().item())


def test_arms_show_the_same_images(digits_set: ImageSet, pixels: Tensor, tables: ViewTables) -> None:
    other = compute_views(pixels.flip(1).square(), digits_set, split="test", seed=3)
    for view in ("pca", "neighbours"):
        first = [(row["item"], row["image_index"]) for row in picked(tables.views, view) if row["rank"] == 0]
        assert first == [(row["item"], row["image_index"]) for row in picked(other.views, view) if row["rank"] == 0]
    again = compute_views(pixels, digits_set, split="test", seed=4)
    assert [row["image_index"] for row in picked(again.views, "pca")] != [
        row["image_index"] for row in picked(tables.views, "pca")
    ]


def test_of_many_classes_and_images_the_largest_and_some_are_shown() -> None:
    labels = torch.cat([torch.arange(30).repeat(50), torch.arange(7, 27)])
    z = torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(0))
    found = compute_views(z, invented(labels, names=("zero", "one")), split="unseen", seed=0)
    shown = {row["class_id"] for row in picked(found.views, "class_distance")}
    assert shown == set(range(7, 27))
    for view in ("pca", "ellipse", "closest", "neighbours"):
        assert {row["class_id"] for row in picked(found.views, view)} <= shown
    assert len(picked(found.views, "pca")) == SHOWN_POINTS
    assert len({row["class_id"] for row in found.eval_groups}) == 30
    assert {row["class_name"] for row in found.eval_groups} >= {"zero", "one", "2"}


@pytest.mark.parametrize("labels", [[0, 1], [5, 5], [0, 0, 0, 1], [0, 1, 2]])
def test_tiny_and_collapsed_splits(labels: list[int]) -> None:
    images = invented(torch.tensor(labels))
    for z in (torch.ones(len(labels), 4), torch.eye(4)[: len(labels)], torch.ones(len(labels), 1)):
        found = compute_views(z, images, split="test", seed=0, projections=("pca", "tsne"))
        assert len(picked(found.views, "tsne")) == len(labels)
        for row in found.views:
            assert math.isfinite(row.get("x", 0)), row


def test_views_refuse_what_they_cannot_show(digits_set: ImageSet, pixels: Tensor) -> None:
    with pytest.raises(ValueError, match="Did you mean `umap`"):
        compute_views(pixels, digits_set, split="test", seed=0, projections=("umapp",))
    with pytest.raises(ValueError, match="200 images and 199 embeddings"):
        compute_views(pixels[1:], digits_set, split="test", seed=0)
    with pytest.raises(ValueError, match="199 of them finite"):
        compute_views(pixels.index_fill(0, torch.tensor([4]), math.nan), digits_set, split="test", seed=0)
    with pytest.raises(ValueError, match="two images or more"):
        compute_views(pixels[:1], ImageSet(digits_set.images[:1], digits_set.labels[:1], ()), split="test", seed=0)


# Handing over


def test_a_file_gives_back_the_rows_of_views(tmp_path: Path, tables: ViewTables) -> None:
    file = tmp_path / "deep" / "views.zip"
    result_tables.write(file, {"left": [{"a": 1}], "empty": []})
    result_tables.write(file, tables._asdict())
    found = result_tables.read(file)
    assert set(found) == {"views", "eval_groups", "embeddings"}
    for name in ("views", "eval_groups"):
        given = getattr(tables, name)
        for row, back in zip(given, found[name], strict=True):
            assert {key: value for key, value in back.items() if value is not None} == row
    vectors = np.array([row["embedding"] for row in found["embeddings"]], dtype=np.float32)
    assert np.array_equal(vectors, np.stack([row["embedding"] for row in tables.embeddings]))
    assert [path.name for path in file.parent.iterdir()] == ["views.zip"]


def test_of_many_classes_the_largest_are_shown_and_all_are_measured() -> None:
    draw = torch.Generator().manual_seed(0)
    sizes = torch.arange(1, 61)
    labels = torch.arange(60).repeat_interleave(sizes)[torch.randperm(int(sizes.sum()), generator=draw)]
    z = F.normalize(torch.randn(len(labels), 6, generator=draw) + torch.randn(60, 6, generator=draw)[labels], dim=1)
    images = ImageSet(torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8), labels, ())
    tables = compute_views(z, images, split="test", seed=0)
    shown = set(range(40, 60))
    for metric in ("cosine", "l2", "angular"):
        matrix = class_distances(z, labels, metric=metric)
        rows = picked(tables.views, "class_distance" + ("" if metric == "cosine" else f"_{metric}"))
        assert {(row["item"], row["rank"]) for row in rows} == {(a, b) for a in shown for b in shown}
        for row in rows:
            assert row["value"] == pytest.approx(matrix[row["item"], row["rank"]].item(), rel=1e-5)
    for found in class_exemplars(z, labels, k=5):
        rows = [row for row in picked(tables.views, "foreign") if row["item"] == found.label]
        assert [row["image_index"] for row in rows] == (found.foreign.indices.tolist() if found.label in shown else [])
    assert {row["item"] for row in picked(tables.views, "ellipse")} == shown
    matrix = class_distances(z, labels, metric="cosine")
    for metric in ("intra", "inter", "ellipse_area"):
        rows = [row for row in tables.eval_groups if row["metric"] == metric]
        assert [row["class_id"] for row in rows] == list(range(60))
        if metric == "inter":
            others = [matrix[c, torch.arange(60) != c].mean().item() for c in range(60)]
            assert [row["value"] for row in rows] == pytest.approx(others, rel=1e-5)
