"""A data set on the device: uint8 images that stay there from trial to trial."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from embedding_core.config.data_root import resolve_root
from embedding_core.config.train_config import TrainConfig
from embedding_core.data.broken_images import left_out
from embedding_core.data.class_overlap import ClassOverlap, kept_for_test, overlap
from embedding_core.data.content_hash import tensors_sha256
from embedding_core.data.device_memory import free_on, too_large
from embedding_core.data.duplicates import SharedImages, copies_in, first_copies, shared_across
from embedding_core.data.image_sets import FOLDER, ImageSet, load, size_of_test_file, told
from embedding_core.data.image_subset import ImageSubset
from embedding_core.data.pixel_scaling import Scaling, scaling_of
from embedding_core.data.splits import Copies, Split, split
from embedding_core.data.tested_images import two_shapes, with_pairs
from embedding_core.errors import Faults
from embedding_core.plugins.builtin import DATASETS
from embedding_core.plugins.declarations import Value
from embedding_core.wording import plural


@dataclass(frozen=True)
class DeviceData:
    """Training file, on `device` if the network is to run on its images; the test file stays unread until `test` is
    asked for."""

    name: str
    root: str
    image_size: int | None
    """As asked for, not as it is."""
    device: torch.device
    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    sha256: str
    test_file_size: int | None
    """Images in the set's own test file; None: the split is carved out of the training file."""
    class_names: tuple[str, ...] = ()
    settings: tuple[tuple[str, Value], ...] = ()
    """Of the plug-in that the set is from."""
    skip_broken: bool = False
    broken: tuple[str, ...] = ()
    """See `ImageSet`; of the training file."""
    _scalings: dict[tuple[int, ...], Scaling] = field(default_factory=dict, repr=False)
    """By classes trained on or validated with; a scaling of CIFAR-10 takes half a second."""
    _overlaps: dict[str, ClassOverlap] = field(default_factory=dict, repr=False)
    """Of the test set, by the classes that a split trains on and validates with."""
    features: dict[tuple[str, str], tuple[str, Tensor]] = field(default_factory=dict, repr=False)
    """Of frozen backbones, on `device`: see `models.frozen_features.KeptFeatures`."""

    @classmethod
    def load(
        cls, config: TrainConfig, device: torch.device, *, download: bool = True, free_bytes: int | None = None
    ) -> "DeviceData":
        """Read the training file of `config.dataset`.

        Args:
            config: its data set, and whether the backbone's features are computed ahead, are read.
            device: where it is to be.
            download: whether one that is not there may be fetched.
            free_bytes: what the device has room for; None: what CUDA says, and on a CPU whatever comes.

        Raises:
            Faults: see `embedding_core.data.image_sets.load`; more images than the device has room for.
        """
        root = str(resolve_root(config.data_root))
        settings = _settings(config)
        read = partial(
            load, config.dataset, root, image_size=config.image_size, download=download, settings=dict(settings),
            skip_broken=config.skip_broken,
        )  # fmt: skip
        train = read()
        size = size_of_test_file(config.dataset, root, dict(settings))
        if size is not None and config.skip_broken:
            size -= len(read(split="test").broken)
        # Whose features are computed ahead stay where they are: at 128 pixels CIFAR-10 would take 2.5 GB of the device.
        images = train.images
        if not config.trains_on_features:
            free = free_on(device) if free_bytes is None else free_bytes
            if free is not None and images.numel() > free:
                raise Faults([too_large(config.dataset, images, device, free)])
            images = images.to(device)
        return cls(
            config.dataset, root, config.image_size, device, images, train.labels.to(device), train.sha256, size,
            train.class_names, settings, config.skip_broken, train.broken,
        )  # fmt: skip

    def told(self) -> str:
        """See `image_sets.told`."""
        return told(self.name, self.root, dict(self.settings))

    def serves(self, config: TrainConfig, device: torch.device) -> bool:
        """Whether these are the data that `config` asks for."""
        asked = (config.dataset, str(resolve_root(config.data_root)), config.image_size, config.skip_broken, device)
        there = config.trains_on_features or self.images.device == device
        return (
            there
            and (self.name, self.root, self.image_size, self.skip_broken, self.device) == asked
            and self.settings == _settings(config)
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return tuple(self.images.shape[1:])  # type: ignore[return-value]

    @property
    def flips(self) -> bool:
        """Whether a mirrored image is still one of its class."""
        return self.name not in DATASETS or DATASETS[self.name].flips

    def scaling(self, indices: Split, *, kind: str = "native") -> Scaling:
        """Pixel statistics of every image that is neither for testing nor of an unseen class.

        They are the same for all blocks, which differ in their training images alone. Of another `kind` of
        `TrainConfig.input_scaling` the network knows them itself: the pixels are not read, 0 and 1 stand in.
        """
        if kind != "native":
            return torch.zeros(self.shape[0]), torch.ones(self.shape[0])
        key = tuple(indices.seen.tolist())
        if key not in self._scalings:
            labels = self.labels.cpu()
            used = torch.isin(labels, indices.seen) | (labels < 0)
            if not indices.test_in_own_file:
                used[indices.test] = False
            self._scalings[key] = scaling_of(self.images.cpu()[used] if not used.all() else self.images.cpu())
        return self._scalings[key]

    def split(self, config: TrainConfig) -> Split:
        """Indices for `config`, drawn by its `seed_of_split`; on the CPU."""
        return split(
            self.labels.cpu(),
            test_file_size=self.test_file_size,
            loss=config.loss,
            seed=config.seed_of_split,
            val_share=config.val_share,
            val_by=config.val_by,
            val_images=config.val_images,
            triplets=config.triplets,
            seen_classes=config.seen_classes,
            unseen_classes=config.unseen_classes,
            max_images_per_class=config.max_images_per_class,
            subset=config.subset,
            copies=self._copies if config.duplicates == "drop" else None,
        )

    @cached_property
    def _copies(self) -> Copies:
        in_training = self._in_training
        tested = self._first_copies[:0] if in_training is None else in_training[in_training >= 0]
        return Copies(self._first_copies, tested)

    @cached_property
    def _first_copies(self) -> Int64[Tensor, " n"]:
        return first_copies(self.images.cpu(), sha256=self.sha256)

    @cached_property
    def _in_training(self) -> Int64[Tensor, " t"] | None:
        """See `copies_in`; None: there is no test file."""
        if self.test_file_size is None:
            return None
        test = self.test_file()
        return copies_in(self.images.cpu(), test.images, sha256=self.sha256, test_sha256=test.sha256)

    def shared(self, indices: Split) -> SharedImages:
        """Images that are in two parts of a split, by their pixels; reads the test file.

        Raises:
            Faults: see `test_file`.
        """
        in_training = self._in_training
        test_labels = None if in_training is None else self.test_file().labels
        return shared_across(
            indices, self.labels.cpu(), self._first_copies, self.name_of, in_training=in_training,
            test_labels=test_labels,
        )  # fmt: skip

    def duplicate_faults(self, config: TrainConfig, indices: Split) -> list[str]:
        """What `config.duplicates` refuses of a split for `config`."""
        if config.duplicates != "refuse":
            return []
        found = self.shared(indices)
        if not found.many:
            return []
        return [
            f"No more than one in a thousand of the test or validation images of `{self.name}` may be trained on as "
            f"well, but {found.sentence()}. `duplicates` drop (of a sweep: `--duplicates drop`) leaves the copies out "
            "of training and validation, `duplicates` keep trains on them all the same."
        ]

    def name_of(self, label: int) -> str:
        """Name of a class, or its label where the training file has no name for it."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)

    def test(self, indices: Split) -> ImageSet:
        """The test split; the only place that hands it out.

        Images of a test file that shares no class with the training file are tested all; otherwise those of the classes
        trained on or validated with.

        Raises:
            Faults: the test file is broken, its images are not of the training images' shape, or what is tested has no
                pair of one class and of two.
        """
        if not indices.test_in_own_file:
            test = self._rows(indices.test)
            kept = torch.ones(len(test.labels), dtype=torch.bool)
        else:
            test = self.test_file()
            kept = kept_for_test(test.labels, self.labels.cpu(), indices.seen)
        found = overlap(test.labels, kept, indices.classes)
        self._overlaps[_classes_key(indices)] = found
        if not kept.all():
            test = ImageSet(test.images[kept], test.labels[kept], test.class_names)
        left = (
            f"; {plural(found.left_images, 'image')} of {plural(found.left_classes, 'other class')} "
            f"{'is' if found.left_images == 1 else 'are'} passed over"
        )
        return with_pairs(test, f"test split of `{self.name}`", left if found.left_images else "")

    def test_file(self) -> ImageSet:
        """All images of the set's own test file.

        Raises:
            Faults: it is broken, or its images are not of the training images' shape.
        """
        test = load(
            self.name, self.root, split="test", image_size=self.image_size, settings=dict(self.settings),
            skip_broken=self.skip_broken,
        )  # fmt: skip
        shape: tuple[int, int, int] = tuple(test.images.shape[1:])  # type: ignore[assignment]
        if shape != self.shape:
            raise Faults([two_shapes(self.name, self.shape, shape)])
        return test

    def broken_told(self, *, test: bool) -> str:
        """What `skip_broken` has left out, in a line; empty where nothing was.

        Args:
            test: whether the test file is read, if there is one.
        """
        found = {"train": self.broken}
        if test and self.skip_broken and self.test_file_size is not None:
            found["test"] = self.test_file().broken
        folder = Path(self.root) / Path(self.name.removeprefix(FOLDER)).expanduser()
        return left_out({part: broken for part, broken in found.items() if broken}, folder)

    def overlap(self, indices: Split) -> ClassOverlap:
        """How the classes of the test split relate to those trained on; reads the test file unless `test` has.

        Raises:
            Faults: see `test`.
        """
        key = _classes_key(indices)
        if key not in self._overlaps:
            self.test(indices)
        return self._overlaps[key]

    def train(self, indices: Split) -> ImageSubset:
        """The training images that have a label."""
        labels = self.labels.cpu()[indices.train]
        rows = indices.train[labels >= 0]
        return ImageSubset(self.images, rows.to(self.images.device), labels[labels >= 0])

    def unseen(self, indices: Split) -> ImageSet:
        """Every image of the unseen classes in the training file.

        Raises:
            Faults: no class of two images.
        """
        return with_pairs(self._rows(indices.unseen), "unseen classes")

    def _rows(self, index: Int64[Tensor, " m"]) -> ImageSet:
        images, labels = self.images[index.to(self.images.device)], self.labels[index.to(self.device)]
        return ImageSet(images.cpu(), labels.cpu(), self.class_names)


def _settings(config: TrainConfig) -> tuple[tuple[str, Value], ...]:
    """Fields of the plug-in that the data set is from."""
    return tuple(each for each in config.of_plugins if each[0].startswith(f"{DATASETS.kind}."))


def _classes_key(indices: Split) -> str:
    return tensors_sha256(indices.classes, indices.val_classes)
