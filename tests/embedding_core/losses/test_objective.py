"""From the configuration to the base loss."""

import pytest
import torch

from embedding_core.config.train_config import CHOICES, TrainConfig
from embedding_core.losses import modules
from embedding_core.losses.classification import ArcFace, SoftmaxClassifier
from embedding_core.losses.objective import base_loss

KINDS = {
    "triplet": modules.FixedTriplets,
    "mined": modules.MinedTriplets,
    "semihard": modules.SemiHardTriplets,
    "nt_xent": modules.TwoViews,
    "arcface": ArcFace,
    "softmax": SoftmaxClassifier,
}


@pytest.mark.parametrize("loss", CHOICES["loss"])
def test_every_loss_is_made_as_what_it_is_called(loss: str) -> None:
    made = base_loss(TrainConfig(loss=loss), classes=torch.arange(3))
    assert isinstance(made.head if isinstance(made, modules.Classifier) else made, KINDS[loss])
    assert made.name == loss


def test_a_loss_that_nothing_makes_is_refused() -> None:
    config = TrainConfig()
    object.__setattr__(config, "loss", "softmax2")  # as a name in CHOICES without a branch would
    with pytest.raises(ValueError, match="softmax"):
        base_loss(config, classes=torch.arange(3))
