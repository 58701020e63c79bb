"""The configuration of one run: its fields, its rules, and how it is read from text."""

from embedding_core.config.data_root import resolve_root
from embedding_core.config.parsing import parse_settings, parse_value
from embedding_core.config.rules import MARGIN_LOSSES
from embedding_core.config.train_config import CHOICES, DATASETS, LOSSES, TrainConfig, field_types

__all__ = [
    "CHOICES",
    "DATASETS",
    "LOSSES",
    "MARGIN_LOSSES",
    "TrainConfig",
    "field_types",
    "parse_settings",
    "parse_value",
    "resolve_root",
]
