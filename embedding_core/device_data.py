"""A data set on the device: uint8 images that stay there from trial to trial."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from embedding_core.config import TrainConfig
from embedding_core.data import NO_FLIP, ImageSet, load, resolve_root, size_of_test_file
from embedding_core.faults import Faults
from embedding_core.splits import Split, carve_test, split


@dataclass(frozen=True)
class DeviceData:
    """Training file on `device`; the test file stays unread until `test` is asked for."""

    name: str
    root: str
    device: torch.device
    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    sha256: str
    test_file_size: int | None
    """Images in the set's own test file; None: the split is carved out of the training file."""

    @classmethod
    def load(cls, config: TrainConfig, device: torch.device) -> "DeviceData":
        """Read the training file of `config.dataset`.

        Raises:
            Faults: see `embedding_core.data.load`.
        """
        root = str(resolve_root(config.data_root))
        train = load(config.dataset, root)
        images, labels, size = train.images.to(device), train.labels.to(device), size_of_test_file(config.dataset, root)
        return cls(config.dataset, root, device, images, labels, train.sha256, size)

    def serves(self, config: TrainConfig, device: torch.device) -> bool:
        """Whether these are the data that `config` asks for."""
        return (self.name, self.root, self.device) == (config.dataset, str(resolve_root(config.data_root)), device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return tuple(self.images.shape[1:])  # type: ignore[return-value]

    @property
    def flips(self) -> bool:
        """Whether a mirrored image is still one of its class."""
        return self.name not in NO_FLIP

    @cached_property
    def scaling(self) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Mean and standard deviation per channel of the images that are not for testing, of pixels in [0, 1]."""
        images = self.images.cpu()
        if self.test_file_size is None:
            images = images[carve_test(self.labels.cpu())[0]]
        # In blocks: the whole file as float64 would take 1.2 GB for CIFAR-10.
        blocks = [block.double() / 255 for block in images.split(4096)]
        count = images[:, 0].numel()
        mean = torch.stack([b.sum(dim=(0, 2, 3)) for b in blocks]).sum(dim=0) / count
        square = torch.stack([b.square().sum(dim=(0, 2, 3)) for b in blocks]).sum(dim=0) / count
        return mean.float(), (square - mean**2).clamp(min=1e-12).sqrt().float()

    def split(self, config: TrainConfig) -> Split:
        """Indices for the block of `config`; on the CPU."""
        return split(config, self.labels.cpu(), test_file_size=self.test_file_size)

    def test(self, indices: Split) -> ImageSet:
        """The test split; the only place that hands it out.

        Raises:
            Faults: the test file is broken, or its images are not of the training images' shape.
        """
        if indices.test_in_own_file:
            test = load(self.name, self.root, split="test")
            if test.images.shape[1:] != self.images.shape[1:]:
                shapes = f"{tuple(test.images.shape[1:])} and {self.shape}"
                raise Faults([f"Test and training images of `{self.name}` must have one shape, but have {shapes}."])
            return test
        rows = indices.test.to(self.device)
        return ImageSet(self.images[rows].cpu(), self.labels[rows].cpu(), ())
