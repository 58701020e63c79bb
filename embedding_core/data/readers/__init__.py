"""Image files of every layout, decoded once per machine into memory-mapped arrays."""

from embedding_core.data.readers.decode import decode_image, fit
from embedding_core.data.readers.folders import ClassFolders
from embedding_core.data.readers.parquet_images import decode_parquet
from embedding_core.data.readers.parquet_sets import ParquetSet
from embedding_core.data.readers.torchvision_sets import TorchvisionSet

__all__ = [
    "ClassFolders",
    "ParquetSet",
    "TorchvisionSet",
    "decode_image",
    "decode_parquet",
    "fit",
]
