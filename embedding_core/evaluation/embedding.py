"""Embeddings of images by a network in evaluation mode, in batches and without gradient."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from embedding_core.models.network import EmbeddingNetwork

EVALUATION_BATCH = 512
"""Images per forward pass without gradient."""


def embed(network: EmbeddingNetwork, inputs: Tensor, *, layer: str = "embedding") -> Float[Tensor, "n d"]:
    """Unit embeddings, whatever training sees; otherwise as `outputs`."""
    z = outputs(network, inputs, layer=layer)
    return z if network.unit and layer == "embedding" else F.normalize(z, dim=1)


@torch.no_grad()
def outputs(network: EmbeddingNetwork, inputs: Tensor, *, layer: str = "embedding") -> Float[Tensor, "*n d"]:
    """Embeddings as the training loss sees them, in evaluation mode; on their device. The mode is restored.

    Args:
        network: whose embeddings.
        inputs: what it takes: uint8 images [n, c, h, w], say.
        layer: one of `TrainConfig.held_out_layer`: `backbone` gives the features that the head would get, pooled.
    """
    was_training = network.training
    network.eval()
    forward = network.features if layer == "backbone" else network
    z = torch.cat([forward(batch) for batch in inputs.split(EVALUATION_BATCH)])
    network.train(was_training)
    return z
