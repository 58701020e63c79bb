"""Splits: disjoint, stratified, reproducible; triplets: valid; study 1's leak as it was measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.class_draws import choose_classes
from embedding_core.data.device_data import DeviceData
from embedding_core.data.splits import Split, split
from embedding_core.errors import Faults
from embedding_core.seeding import generator

UNBALANCED = torch.tensor([3] * 50 + [1] * 30 + [8] * 21)[torch.randperm(101, generator=generator(0, "labels"))]


def of(labels: Tensor = UNBALANCED, *, test_file_size: int | None = None, **settings: object) -> Split:
    """By way of a configuration, as `train` has it."""
    images = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    data = DeviceData("mine", "", None, torch.device("cpu"), images, labels, "", test_file_size)
    return data.split(TrainConfig.from_flat(settings))


def assert_valid(triplets: Tensor, labels: Tensor) -> None:
    anchor, positive, negative = labels[triplets].T
    assert (anchor == positive).all()
    assert (anchor != negative).all()
    assert (triplets[:, 0] != triplets[:, 1]).all()
    assert len(triplets[:, :2].unique()) == triplets[:, :2].numel()


@pytest.mark.parametrize("test_file_size", [None, 17])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_image_is_in_two_splits_and_none_is_lost(seed: int, test_file_size: int | None) -> None:
    found = of(seed=seed, test_file_size=test_file_size)
    parts = [found.train, found.val] + ([found.test] if test_file_size is None else [])
    assert torch.cat(parts).sort().values.tolist() == list(range(101))
    assert found.test_in_own_file == (test_file_size is not None)
    assert test_file_size is None or found.test.tolist() == list(range(17))
    assert torch.isin(found.train_examples, found.train).all()
    assert torch.isin(found.val_triplets, found.val).all()
    assert found.leak() == {"anchors_and_positives_seen": 0.0, "negatives_seen": 0.0, "triplets_wholly_unseen": 1.0}


@pytest.mark.parametrize("val_share", [0.1, 0.2, 0.5])
def test_every_class_gives_its_share(val_share: float) -> None:
    found = of(val_share=val_share)
    for c, size in ((3, 50), (1, 30), (8, 21)):
        test = (UNBALANCED[found.test] == c).sum().item()
        assert test == round(0.2 * size)
        assert (UNBALANCED[found.val] == c).sum().item() == round(val_share * (size - test))


def test_seeds_move_train_and_val_but_never_test() -> None:
    splits = [of(seed=seed) for seed in range(4)]
    assert len({s.sha256 for s in splits}) == 4
    assert len({s.pairs_sha256 for s in splits}) == 4
    assert all(torch.equal(s.test, splits[0].test) for s in splits)
    again = of(seed=2)
    assert (again.sha256, again.pairs_sha256) == (splits[2].sha256, splits[2].pairs_sha256)
    assert torch.equal(again.train_examples, splits[2].train_examples)


def test_only_what_is_about_the_split_moves_it() -> None:
    base = of()
    other = of(lr=0.1, koleo=True, koleo_weight=0.5, accum_steps=2, epochs=9, subset=10)
    assert (other.sha256, other.pairs_sha256) == (base.sha256, base.pairs_sha256)
    assert of(val_share=0.3).sha256 != base.sha256


def test_a_split_needs_no_configuration() -> None:
    alone = split(UNBALANCED, test_file_size=None, loss="triplet", seed=3, val_share=0.3)
    assert (alone.sha256, alone.pairs_sha256) == (
        of(seed=3, val_share=0.3).sha256,
        of(seed=3, val_share=0.3).pairs_sha256,
    )
    with pytest.raises(Faults, match="Did you mean `disjoint`"):
        split(UNBALANCED, test_file_size=None, loss="triplet", seed=3, val_share=0.3, triplets="disjunct")


def test_the_test_share_of_digits_ignores_every_flag() -> None:
    tests = [of(val_share=share, triplets=kind, seed=s).test for share in (0.1, 0.4) for kind in ("disjoint", "study")
             for s in (0, 5)]  # fmt: skip
    assert all(torch.equal(test, tests[0]) for test in tests)


def test_a_subset_is_a_prefix_of_the_same_draw() -> None:
    whole = of().train_examples
    assert torch.equal(of(subset=7).train_examples, whole[:7])
    assert torch.equal(of(subset=len(whole)).train_examples, whole)
    with pytest.raises(Faults, match=f"`subset` must be at most the {len(whole)} triplets, but got {len(whole) + 1}"):
        of(subset=len(whole) + 1)


# Examples of the losses on single images


@pytest.mark.parametrize(
    ("loss", "views"), [("mined", 1), ("semihard", 1), ("arcface", 1), ("softmax", 1), ("nt_xent", 2)]
)
def test_an_example_is_one_image_or_two_views_of_it(loss: str, views: int) -> None:
    found = of(loss=loss)
    assert found.train_examples.shape == (len(found.train), views)
    assert (found.train_examples == found.train_examples[:, :1]).all()
    assert found.train_examples[:, 0].sort().values.tolist() == found.train.tolist()
    assert (found.sha256, found.pairs_sha256) == (of().sha256, of().pairs_sha256)
    assert torch.equal(of(loss=loss, subset=9).train_examples, found.train_examples[:9])


# Seen and unseen classes


def test_unseen_classes_are_in_no_other_split() -> None:
    labels = torch.arange(120) % 5
    found = of(labels, unseen_classes=2)
    unseen = torch.tensor(sorted(set(range(5)) - set(found.classes.tolist())))
    assert len(unseen) == 2
    assert found.unseen.tolist() == torch.isin(labels, unseen).nonzero().flatten().tolist()
    for part in (found.train, found.val, found.test):
        assert set(labels[part].tolist()) == set(found.classes.tolist())
    assert not torch.isin(torch.cat([found.train_examples, found.val_triplets]), found.unseen).any()
    assert all(torch.equal(of(labels, unseen_classes=2, seed=s).unseen, found.unseen) for s in (1, 2))


def test_seen_and_unseen_are_drawn_from_the_largest_classes() -> None:
    labels = torch.tensor([c for c in range(8) for _ in range(10 + c)])
    seen, unseen = choose_classes(labels, seen=3, unseen=2)
    assert sorted([*seen.tolist(), *unseen.tolist()]) == [3, 4, 5, 6, 7]
    assert (len(seen), len(unseen)) == (3, 2)
    assert choose_classes(labels, seen=None, unseen=0)[0].tolist() == list(range(8))


@pytest.mark.parametrize(("seen", "unseen"), [(3, 1), (None, 2), (None, 3), (2, 2)])
def test_too_few_classes_are_told(seen: int | None, unseen: int) -> None:
    with pytest.raises(Faults, match=f"of 3 classes .* seen and {unseen} unseen are asked for"):
        choose_classes(UNBALANCED, seen=seen, unseen=unseen)


def test_images_without_a_label_are_for_training_alone_and_only_where_no_label_is_needed() -> None:
    labels = torch.cat([UNBALANCED, torch.full((40,), -1)])
    found = of(labels, test_file_size=5, loss="nt_xent")
    unlabelled = list(range(101, 141))
    assert set(unlabelled) <= set(found.train.tolist())
    assert set(unlabelled) <= set(found.train_examples[:, 0].tolist())
    assert -1 not in found.classes
    assert not set(unlabelled) & set(found.val.tolist())
    with pytest.raises(Faults, match="loss=arcface needs labels, but 40 training images have none"):
        of(labels, test_file_size=5, loss="arcface")


# Whole classes for validation

MANY = torch.arange(40).repeat_interleave(torch.arange(1, 41))[torch.randperm(820, generator=generator(1, "labels"))]
"""Forty classes of 1 to 40 images."""


@pytest.mark.parametrize(("val_share", "classes"), [(0.2, 8), (0.5, 20), (0.01, 2)])
def test_whole_classes_validate_and_none_of_their_images_trains(val_share: float, classes: int) -> None:
    found = of(MANY, test_file_size=5, val_by="class", val_share=val_share, loss="semihard")
    assert len(found.val_classes) == classes
    assert sorted([*found.classes.tolist(), *found.val_classes.tolist()]) == found.seen.tolist() == list(range(40))
    assert found.val.tolist() == torch.isin(MANY, found.val_classes).nonzero()[:, 0].tolist()
    assert found.train.tolist() == torch.isin(MANY, found.classes).nonzero()[:, 0].tolist()
    assert set(MANY[found.train_examples].flatten().tolist()) == set(found.classes.tolist())
    assert_valid(found.val_triplets, MANY)


def test_the_split_seed_draws_the_validation_classes() -> None:
    draws = [of(MANY, test_file_size=5, val_by="class", split_seed=s, seed=s + 7).val_classes for s in (0, 0, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert len({tuple(draw.tolist()) for draw in draws}) == 3
    assert of(MANY, test_file_size=5, val_by="image").sha256 == of(MANY, test_file_size=5).sha256


def test_of_many_classes_of_one_image_two_with_a_pair_validate_whatever_the_draw() -> None:
    labels = torch.cat([torch.arange(30), torch.tensor([0, 1, 2, 3, 3])])
    for seed in range(20):
        found = of(labels, test_file_size=5, val_by="class", val_share=0.1, loss="softmax", seed=seed)
        assert len(found.val_classes) == 3
        assert (labels[found.val].bincount() > 1).sum() >= 2


def test_validation_classes_leave_the_test_split_the_unseen_classes_and_the_scaling_as_they_are() -> None:
    labels = torch.arange(400) % 20
    by_image, by_class = (of(labels, unseen_classes=4, val_by=how) for how in ("image", "class"))
    assert torch.equal(by_class.test, by_image.test)
    assert torch.equal(by_class.unseen, by_image.unseen)
    assert torch.equal(by_class.seen, by_image.classes)
    assert len(by_image.val_classes) == 0


def test_few_validation_images_of_whole_classes_come_in_pairs() -> None:
    labels = torch.arange(4000) % 1000
    found = of(labels, test_file_size=5, val_by="class", val_images=100)
    assert len(found.val) == 100
    assert labels[found.val].bincount().unique().tolist() == [0, 2]
    assert len(found.unused) == 200 * 4 - 100


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        (torch.arange(30) % 3, "of 3 classes 3 have two images, and with `val_share` 0.2 2 would validate"),
        (torch.cat([torch.arange(20), torch.tensor([5])]), "of 20 classes 1 have two images"),
    ],
)
def test_too_few_classes_to_validate_with_are_told(labels: Tensor, counts: str) -> None:
    with pytest.raises(Faults, match="`val_by=class` needs two classes with two images each") as caught:
        of(labels, test_file_size=5, val_by="class", loss="softmax")
    assert counts in str(caught.value)


# At most so many images of a class


def test_a_cap_is_on_the_images_that_training_and_validation_share() -> None:
    """Labels that choose a learning rate count among the few."""
    whole, capped = of(loss="semihard"), of(loss="semihard", max_images_per_class=20)
    sizes = {3: 40, 1: 24, 8: 17}  # after the test split
    assert {c: int((UNBALANCED[torch.cat([whole.train, whole.val])] == c).sum()) for c in sizes} == sizes
    assert {c: int((UNBALANCED[capped.train] == c).sum()) for c in sizes} == {3: 16, 1: 16, 8: 17 - 3}
    assert {c: int((UNBALANCED[capped.val] == c).sum()) for c in sizes} == {3: 4, 1: 4, 8: 3}
    assert not torch.isin(capped.train, capped.val).any()
    assert torch.equal(capped.train_examples[:, 0].sort().values, capped.train)
    for part in ("test", "unseen", "classes"):
        assert torch.equal(getattr(capped, part), getattr(whole, part))
    assert capped.sha256 != whole.sha256
    assert (whole.largest_class, capped.largest_class) == (40, 40)
    uncut = of(loss="semihard", max_images_per_class=40)
    assert (uncut.sha256, uncut.pairs_sha256) == (whole.sha256, whole.pairs_sha256)


def test_a_cap_is_a_draw_of_the_block() -> None:
    labels = torch.arange(400) % 2
    draws = [of(labels, max_images_per_class=20, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(draws[0].train, draws[1].train)
    assert not torch.equal(draws[0].train, draws[2].train)
    # 20 of 160 from file order would all be in front; a draw of 32 has a mean near the middle (its deviation is 20).
    assert draws[0].train.double().mean().item() == pytest.approx(200, abs=5 * 20)


def test_triplets_and_a_subset_come_after_the_cap() -> None:
    capped = of(max_images_per_class=10)
    assert_valid(capped.train_examples, UNBALANCED)
    assert len(capped.train_examples) == 3 * 8 // 2  # two of each ten are for validation
    assert torch.isin(capped.train_examples, capped.train).all()
    assert torch.equal(of(max_images_per_class=10, subset=7).train_examples, capped.train_examples[:7])
    with pytest.raises(Faults, match="`subset` must be at most the 12 triplets, but got 13"):
        of(max_images_per_class=10, subset=13)


def test_images_without_a_label_are_not_capped() -> None:
    labels = torch.cat([UNBALANCED, torch.full((40,), -1)])
    found = of(labels, test_file_size=5, loss="nt_xent", max_images_per_class=10)
    assert sorted(labels[found.train].tolist()) == [-1] * 40 + [1] * 8 + [3] * 8 + [8] * 8
    assert found.largest_class == int((UNBALANCED == 3).sum())  # not the forty


def test_classes_too_small_for_a_validation_pair_are_told() -> None:
    labels = torch.arange(24) % 8  # three images each: one is tested or validated at most
    with pytest.raises(Faults) as caught:
        of(labels, test_file_size=5, max_images_per_class=2)
    assert caught.value.faults == (
        "Validation triplets (`val_share`, `max_images_per_class`) need two classes and a class with two images, but 0 "
        "classes have 0 pairs. `val_by=image` holds out 0.2 of the images of each class; take val_by=class, which "
        "would hold out 2 whole classes.",
    )
    assert len(of(labels, test_file_size=5, max_images_per_class=2, val_by="class").val_classes) == 2
    with pytest.raises(
        Faults, match=r"`val_share`\) need two classes and a class with two images, but 8 classes have 0"
    ):
        of(labels, test_file_size=5)
    with pytest.raises(Faults, match="but 0 classes have 0 pairs"):
        of(labels, test_file_size=5, val_share=0.1)
    with pytest.raises(Faults) as caught:  # of three classes, whole ones would leave one to train on
        of(torch.arange(9) % 3, test_file_size=5)
    assert "val_by" not in str(caught.value)
    assert len(of(torch.arange(40) % 8, test_file_size=5, val_share=0.4).val_triplets) == 8


def assert_same_draws(one: Split, other: Split) -> None:
    for name in ("train", "val", "unused", "test", "unseen", "train_examples", "val_triplets"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("settings", [{}, {"loss": "semihard"}, {"max_images_per_class": 12}, {"val_images": 8}])
def test_the_split_seed_draws_everything_of_a_split_whatever_the_seed_of_the_block(settings: dict[str, Any]) -> None:
    as_seed = of(seed=7, **settings)
    for seed in (0, 7, 8):
        assert_same_draws(of(seed=seed, split_seed=7, **settings), as_seed)
    assert of(seed=7, split_seed=0, **settings).sha256 != as_seed.sha256
    assert (of(seed=7, split_seed=0).pairs_sha256, of(seed=0).pairs_sha256) == (
        of(seed=9, split_seed=0).pairs_sha256,
    ) * 2


@pytest.mark.parametrize("most", [4, 9, 19, 20, 2500])
def test_few_validation_images_leave_the_training_images_as_they_are(most: int) -> None:
    whole = of(val_share=0.3, val_images=5000)
    found = of(val_share=0.3, val_images=most)
    held_out = len(whole.val)
    assert len(found.val) == min(most, held_out) == held_out - len(found.unused)
    assert torch.equal(found.train, whole.train)
    assert torch.equal(found.train_examples, whole.train_examples)
    assert torch.cat([found.val, found.unused]).sort().values.tolist() == whole.val.tolist()
    assert torch.equal(found.val, found.val.sort().values)
    assert torch.isin(found.val_triplets, found.val).all()
    assert not torch.isin(found.unused, torch.cat([found.train_examples.flatten(), found.test])).any()
    assert found.largest_class == whole.largest_class
    assert (found.sha256 == whole.sha256) == (most >= held_out)
    if most >= held_out:
        assert_same_draws(found, whole)


def test_of_few_validation_images_every_class_keeps_its_share_and_its_pairs() -> None:
    labels = torch.tensor([0] * 1000 + [1] * 500 + [2] * 100)
    for seed in range(3):
        found = of(labels, test_file_size=5, val_share=0.5, val_images=80, seed=seed)
        counts = labels[found.val].bincount().tolist()
        assert counts == pytest.approx([50, 25, 5], abs=2)
    many = torch.arange(4000) % 1000  # two held out of each class
    found = of(many, test_file_size=5, val_share=0.5, val_images=300)
    assert many[found.val].bincount().unique().tolist() == [0, 2]
    assert len(found.val_triplets) == 150


def test_too_few_validation_images_for_a_pair_and_another_class_are_told() -> None:
    with pytest.raises(Faults, match=r"Validation triplets \(`val_share`, `val_images`\) need two classes"):
        of(torch.arange(4000) % 1000, test_file_size=5, val_share=0.25, val_images=3)
    with pytest.raises(Faults, match="`val_images` must be at least 3, but got 2"):
        of(val_images=2)


# Study 1


def test_study_triplets_validate_on_all_their_images() -> None:
    found = of(triplets="study", val_share=0.4, val_images=3)
    assert torch.equal(found.val, found.val_triplets.unique())
    assert len(found.val) > 3
    assert len(found.unused) == 0


def assert_leaks_as_study_one(labels: Tensor) -> None:
    """Labels of CIFAR shape: 10 classes of 5,000.

    96 % of negatives, about 39 % of anchors and positives, 1.4 % of triplets wholly unseen were measured on study 1's
    own triplets. Another draw of 1,250 triplets has binomial standard errors of .6, 1.0 and .35 points; four of each.
    """
    found = of(labels, test_file_size=10_000, triplets="study", val_share=0.05)
    assert (len(found.train_examples), len(found.val_triplets)) == (23_750, 1_250)
    assert_valid(torch.cat([found.train_examples, found.val_triplets]), labels)
    leak = found.leak()
    assert leak["negatives_seen"] == pytest.approx(0.96, abs=0.024)
    assert leak["anchors_and_positives_seen"] == pytest.approx(0.39, abs=0.04)
    assert leak["triplets_wholly_unseen"] == pytest.approx(0.014, abs=0.014)


def test_study_triplets_leak_as_study_one_did() -> None:
    assert_leaks_as_study_one(torch.arange(50_000) * 7 % 10)


@pytest.mark.data
def test_study_triplets_leak_on_cifar10s_own_labels(real_root: Callable[[str], Path]) -> None:
    table = pq.read_table(real_root("cifar10") / "cifar10" / "train.parquet", columns=["label"])
    assert_leaks_as_study_one(torch.from_numpy(table["label"].to_numpy().copy()))


def test_study_pairs_are_consecutive_in_file_order() -> None:
    found = of(triplets="study", test_file_size=5)
    pairs = torch.cat([found.train_examples, found.val_triplets])[:, :2]
    expected = {
        (a, b)
        for c in (1, 3, 8)
        for a, b in (c == UNBALANCED).nonzero().flatten()[: int((c == UNBALANCED).sum()) // 2 * 2].view(-1, 2).tolist()
    }
    assert {tuple(pair) for pair in pairs.tolist()} == expected


def test_study_negatives_of_a_class_are_drawn_without_replacement_and_no_seed_moves_them() -> None:
    found = of(triplets="study", test_file_size=5)
    triplets = torch.cat([found.train_examples, found.val_triplets])
    for c in (1, 3, 8):
        negatives = triplets[UNBALANCED[triplets[:, 0]] == c, 2]
        assert len(negatives.unique()) == len(negatives)
    other = of(triplets="study", test_file_size=5, seed=9)
    assert torch.equal(other.train_examples, found.train_examples)
    assert torch.equal(other.val_triplets, found.val_triplets)


def test_study_triplets_never_touch_the_test_split() -> None:
    found = of(triplets="study")
    assert not torch.isin(torch.cat([found.train_examples, found.val_triplets]), found.test).any()
