"""Heads by themselves: from feature maps or tokens to embeddings, without a configuration or a backbone."""

import pytest
import torch
from torch import nn

from embedding_core.errors import Faults
from embedding_core.models.heads import build_head


@pytest.mark.parametrize("name", ["linear", "mlp", "study2", "study3"])
@pytest.mark.parametrize("norm_kind", ["group", "batch", "none"])
def test_a_head_needs_the_shape_of_the_features_alone(name: str, norm_kind: str) -> None:
    pool, head = build_head(name, torch.Size((16, 3, 3)), embedding_dim=5, norm_kind=norm_kind, dropout=0.2)
    assert head(pool(torch.rand(4, 16, 3, 3))).shape == (4, 5)


def test_tokens_pass_the_pool() -> None:
    pool, head = build_head("mlp", torch.Size((16,)), embedding_dim=5, norm_kind="none", layers=2, width=7)
    assert head(pool(torch.rand(4, 16))).shape == (4, 5)
    assert [layer.out_features for layer in head if isinstance(layer, nn.Linear)] == [7, 7, 5]


def test_an_unknown_head_names_the_nearest() -> None:
    with pytest.raises(Faults, match="Did you mean `linear`"):
        build_head("liner", torch.Size((16,)), embedding_dim=5, norm_kind="none")
