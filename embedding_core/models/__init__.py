"""Networks from images to embeddings: backbones, heads, pretrained weights."""

from embedding_core.models.backbones import build_backbone
from embedding_core.models.heads import build_head
from embedding_core.models.network import EmbeddingNetwork, build_network, set_frozen
from embedding_core.models.pretrained import load_weights

__all__ = [
    "EmbeddingNetwork",
    "build_backbone",
    "build_head",
    "build_network",
    "load_weights",
    "set_frozen",
]
