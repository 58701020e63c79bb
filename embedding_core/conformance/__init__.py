"""What losses, backbones and data sets must be for runs of them to mean anything: built-in ones and yours alike."""

from embedding_core.conformance.backbones import check_backbone
from embedding_core.conformance.datasets import check_dataset
from embedding_core.conformance.losses import check_loss
from embedding_core.conformance.plugins import check_plugin
from embedding_core.conformance.properties import NotConforming

__all__ = ["NotConforming", "check_backbone", "check_dataset", "check_loss", "check_plugin"]
