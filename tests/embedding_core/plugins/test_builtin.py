"""What is declared of built-in losses and backbones is what their code takes."""

import inspect

import pytest

from embedding_core.config.train_config import CHOICES, TrainConfig, field_types
from embedding_core.losses import objective
from embedding_core.models import backbones
from embedding_core.plugins.builtin import BACKBONES, LOSSES
from embedding_core.plugins.declarations import Declared

assert objective
assert backbones  # they attach the code


@pytest.mark.parametrize("declared", [*LOSSES.builtin.values(), *BACKBONES.builtin.values()], ids=lambda d: d.name)
def test_every_declaration_has_the_parameters_of_its_factory(declared: Declared) -> None:
    registry = LOSSES if declared.kind == "loss" else BACKBONES
    parameters = inspect.signature(registry.factory(declared.name)).parameters
    assert set(parameters) == {*declared.fields, *declared.given}
    assert set(declared.fields) <= set(field_types(TrainConfig))


def test_a_loss_with_views_has_the_examples_of_its_declaration() -> None:
    assert {name: loss.views for name, loss in LOSSES.builtin.items() if loss.views > 1} == {"triplet": 3, "nt_xent": 2}
    assert CHOICES["loss"] == tuple(LOSSES)
    assert CHOICES["backbone"] == tuple(BACKBONES)
