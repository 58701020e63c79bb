"""What other people add: losses, backbones and data sets, by a decorator on a factory of each."""

from embedding_core.plugins.decorators import backbone, dataset, loss

__all__ = ["backbone", "dataset", "loss"]
