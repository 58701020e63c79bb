"""Files that appear whole or not at all, waiting for storage that comes back, rows by table."""

from embedding_core.storage.atomic_write import StorageError, whole
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import PATIENCE_S, patiently

__all__ = [
    "PATIENCE_S",
    "Row",
    "StorageError",
    "patiently",
    "whole",
]
