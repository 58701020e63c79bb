"""Image sets by name, their splits and triplets, the order of an epoch, and the data on the device."""

from embedding_core.data.device_data import DeviceData
from embedding_core.data.duplicates import shared_images
from embedding_core.data.image_sets import ImageSet, load, size_of_test_file
from embedding_core.data.image_subset import ImageSubset
from embedding_core.data.samplers import batch_faults, epoch_order, images_per_epoch, order_of
from embedding_core.data.splits import Split, split
from embedding_core.data.triplets import fixed_triplets

__all__ = [
    "DeviceData",
    "ImageSet",
    "ImageSubset",
    "Split",
    "batch_faults",
    "epoch_order",
    "fixed_triplets",
    "images_per_epoch",
    "load",
    "order_of",
    "shared_images",
    "size_of_test_file",
    "split",
]
